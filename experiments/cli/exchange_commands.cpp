// import and export: to and from Hugging Face folders.
#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "core/build.h"
#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/hf/gpt_neo.h"
#include "experiments/run/machine.h"
#include "experiments/run/model_file.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;

bool holds_tokenizer(const fs::path& folder) {
  return fs::exists(folder / "tokenizer.json") || fs::exists(folder / "vocab.json");
}

std::string content_of(const fs::path& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

// The files of the model's tokenizer, by name.
std::map<std::string, std::string> tokenizer_files(const Tokenizer& tokenizer,
                                                   const fs::path& out) {
  const fs::path folder = out.string() + ".tokenizer.tmp";
  fs::remove_all(folder);
  write_hf_tokenizer(tokenizer, folder);
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename().string()] = content_of(entry.path());
  }
  fs::remove_all(folder);
  return files;
}

}  // namespace

ExitCode import_command(const ImportArgs& a) {
  HfModel hf = read_hf_model(a.folder);
  if (a.context != 0 && a.context != hf.config.context) tile_positions(hf, a.context);
  ModelConfig config = hf.config;
  CheckpointMeta meta;
  meta.config_toml = schema_of(config).to_toml();
  meta.build = std::string(kBuildName);
  std::string tokenizer_name = "no tokenizer";
  if (holds_tokenizer(a.folder)) {
    const auto tokenizer = load_tokenizer("hf:" + a.folder.string());
    require(tokenizer->vocab_size() <= hf.config.vocab,
            "{}: the tokenizer has {} tokens, the model {}; wanted no more than the model's",
            a.folder.string(), tokenizer->vocab_size(), hf.config.vocab);
    meta.tokenizer_json = tokenizer->to_json();
    tokenizer_name = "tokenizer " + tokenizer->name();
  }
  std::vector<NamedConstView> tensors;
  for (const NamedTensor& p : hf.params) tensors.push_back({"model/" + p.name, p.tensor});
  write_checkpoint(a.out, meta, tensors);
  fmt::print("{}: {} layers, width {}, context {}, vocabulary {}, {}\n", a.out.string(),
             hf.config.layers, hf.config.width, hf.config.context, hf.config.vocab, tokenizer_name);
  return kFinished;
}

ExitCode export_command(const ExportArgs& a) {
  Machine machine;  // a CPU: nothing is computed
  LoadedModel loaded = load_model(a.model, machine.exec());
  HfExtras extras;
  if (loaded.tokenizer) {
    extras.end_of_text = loaded.tokenizer->end_of_text();
    extras.files = tokenizer_files(*loaded.tokenizer, a.out);
  }
  std::vector<NamedConstView> params;
  Params& p = loaded.model->params();
  for (const auto& [name, view] : p.named(p.weights())) params.push_back({name, view});
  const HfExport made = write_hf_model(a.out, loaded.config.model, params, extras);
  fmt::print("{}: {}{}\n", a.out.string(), made.family,
             loaded.tokenizer ? " with its tokenizer" : ", no tokenizer");
  if (made.scale_folded) {
    fmt::print("  the score scale was multiplied into the query weights{}\n",
               made.exact ? " (exact)" : ", each rounded once");
  }
  if (made.bias_added) fmt::print("  zero biases were added for query, key and value\n");
  return kFinished;
}

}  // namespace mixspan
