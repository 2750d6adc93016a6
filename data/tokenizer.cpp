#include "data/tokenizer.h"

#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "data/bpe_model.h"
#include "data/bpe_tokenizer.h"
#include "data/byte_tokenizer.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kSpecs = "byte, bpe:FILE (a tokenizer.json) or hf:DIR";

bool is_byte_json(const std::string& json) {
  const Json root = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  return root.is_object() && root.value("mixspan_tokenizer", Json()) == "byte";
}

/// A tokenizer_config.json beside the tokenizer may change what it does.
void check_config(const fs::path& path) {
  if (!fs::exists(path)) return;
  const Json root = Json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  require(root.is_object(), "{}: not a JSON object; mend it or remove it", path.string());
  require(root.value("add_prefix_space", Json()) != true,
          "{}: add_prefix_space is true, so that decoding would not give the text back; use a "
          "tokenizer with add_prefix_space = false",
          path.string());
}

std::unique_ptr<Tokenizer> load_folder(const fs::path& dir) {
  require(fs::exists(dir), "hf:{}: there is no such folder", dir.string());
  require(fs::is_directory(dir), "hf:{0}: not a folder; for a tokenizer.json write bpe:{0}",
          dir.string());
  check_config(dir / "tokenizer_config.json");
  const fs::path whole = dir / "tokenizer.json";
  if (fs::exists(whole)) return tokenizer_from_json(read_text_file(whole), whole.string());
  for (const auto& [vocab, merges] :
       {std::pair("vocab.json", "merges.txt"), std::pair("encoder.json", "vocab.bpe")}) {
    if (fs::exists(dir / vocab) && fs::exists(dir / merges)) {
      require(!fs::exists(dir / "added_tokens.json"),
              "{}: Mixspan reads added tokens from a tokenizer.json only; Hugging Face's "
              "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) writes one",
              (dir / "added_tokens.json").string());
      return std::make_unique<BpeTokenizer>(bpe_model_from_files(dir / vocab, dir / merges));
    }
  }
  refuse(
      "hf:{}: the folder has no tokenizer.json, nor vocab.json with merges.txt, nor encoder.json "
      "with vocab.bpe",
      dir.string());
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const std::string& json, const std::string& where) {
  if (json.size() < 100 && is_byte_json(json)) return make_byte_tokenizer();
  return std::make_unique<BpeTokenizer>(bpe_model_from_json(json, where));
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& spec) {
  if (spec == "byte") return make_byte_tokenizer();
  if (spec.starts_with("hf:") && spec.size() > 3) return load_folder(spec.substr(3));
  if (spec.starts_with("bpe:") && spec.size() > 4) {
    const fs::path path = spec.substr(4);
    require(fs::exists(path), "bpe:{}: there is no such file; `mixspan tokenizer train` makes one",
            path.string());
    require(!fs::is_directory(path), "bpe:{0}: a folder, not a file; write hf:{0}", path.string());
    return tokenizer_from_json(read_text_file(path), path.string());
  }
  if (!spec.empty() && fs::exists(spec)) {
    refuse("tokenizer '{0}': wanted {1}; write {2}:{0}", spec, kSpecs,
           fs::is_directory(spec) ? "hf" : "bpe");
  }
  refuse("tokenizer '{}': wanted {}", spec, kSpecs);
}

void write_hf_tokenizer(const Tokenizer& tokenizer, const fs::path& dir) {
  const BpeModel model = tokenizer.name() == "byte"
                             ? byte_bpe_model()
                             : bpe_model_from_json(tokenizer.to_json(), tokenizer.name());
  const std::string end = tokenizer.decode({{tokenizer.end_of_text()}});
  Json vocab = Json::object();
  for (std::size_t id = 0; id < model.spelling.size(); ++id) {
    if (!model.spelling[id].empty()) vocab[model.spelling[id]] = id;
  }
  std::string merges = "#version: 0.2\n";
  for (const BpeMerge& m : model.merges) {
    merges += model.spelling[static_cast<std::size_t>(m.left)] + ' ' +
              model.spelling[static_cast<std::size_t>(m.right)] + '\n';
  }
  // This class takes tokenizer.json as it is; GPT2Tokenizer would make its own from vocab.json.
  const Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                       {"add_prefix_space", false},
                       {"clean_up_tokenization_spaces", false},
                       {"bos_token", end},
                       {"eos_token", end},
                       {"unk_token", end}};
  fs::create_directories(dir);
  replace_file(dir / "vocab.json", vocab.dump());
  replace_file(dir / "merges.txt", merges);
  replace_file(dir / "tokenizer_config.json", config.dump(2) + "\n");
  replace_file(dir / "tokenizer.json", bpe_model_to_json(model));
}

}  // namespace mixspan
