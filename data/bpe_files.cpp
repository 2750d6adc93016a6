// The files of Hugging Face's byte-level BPE tokenizers, read and written.
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "data/bpe_model.h"

namespace mixspan {

namespace {

using Json = nlohmann::json;

constexpr const char* kWhatWorks =
    "a byte-level BPE with GPT-2's splitting works (GPT-2, GPT-Neo, OPT, `mixspan tokenizer "
    "train`)";

Json parse_json(const std::string& text, const std::string& where) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    refuse("{}: not JSON ({}); {}", where, e.what(), kWhatWorks);
  }
}

/// A short name for a JSON value in a refusal.
std::string brief(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool is_type(const Json& value, const char* type) {
  return value.is_object() && member(value, "type") == type;
}

/// What must be absent, null, false, zero or empty because Mixspan does not do it.
void require_unset(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key);
  const bool unset = value.is_null() || value == false || value == 0 || value == "";
  require(unset, "{}: '{}' is {}, which Mixspan does not do; {}", where, key, brief(value),
          kWhatWorks);
}

void check_splitting(const Json& pre_tokenizer, const std::string& where) {
  const Json* one = &pre_tokenizer;
  if (is_type(*one, "Sequence") && member(*one, "pretokenizers").is_array() &&
      member(*one, "pretokenizers").size() == 1) {
    one = &member(*one, "pretokenizers")[0];
  }
  require(is_type(*one, "ByteLevel"), "{}: 'pre_tokenizer' is {}, not ByteLevel; {}", where,
          brief(pre_tokenizer), kWhatWorks);
  const Json& use_regex = member(*one, "use_regex");
  require(use_regex.is_null() || use_regex == true,
          "{}: the ByteLevel pre_tokenizer has use_regex = false, so words are not split as GPT-2 "
          "splits them; {}",
          where, kWhatWorks);
  const Json& prefix = member(*one, "add_prefix_space");
  require(prefix == false,
          "{}: the ByteLevel pre_tokenizer has add_prefix_space = true, so that decoding would not "
          "give the text back; use a tokenizer with add_prefix_space = false",
          where);
}

void read_vocab(const Json& vocab, BpeParts& parts, const std::string& where) {
  require(vocab.is_object(), "{}: the vocabulary is {}, not an object of token: id; {}", where,
          brief(vocab), kWhatWorks);
  for (const auto& [spelling, id] : vocab.items()) {
    require(id.is_number_integer(), "{}: the token '{}' has the id {}, not a whole number", where,
            shown(spelling), brief(id));
    parts.vocab.emplace_back(spelling, id.get<std::int64_t>());
  }
}

std::pair<std::string, std::string> split_merge(std::string_view line, const std::string& where,
                                                std::size_t number) {
  const std::size_t space = line.find(' ');
  const bool good = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                    line.find(' ', space + 1) == std::string_view::npos;
  require(good, "{}: merge {} is '{}', not two tokens with a space between them", where, number,
          shown(line));
  return {std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

void read_merges(const Json& merges, BpeParts& parts, const std::string& where) {
  require(merges.is_array(), "{}: 'model.merges' is {}, not a list; {}", where, brief(merges),
          kWhatWorks);
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      const auto& line = merge.get_ref<const std::string&>();
      parts.merges.push_back(split_merge(line, where, parts.merges.size() + 1));
      continue;
    }
    require(merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string(),
            "{}: merge {} is {}, not a pair of tokens", where, parts.merges.size() + 1,
            brief(merge));
    parts.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
  }
}

void read_added(const Json& added, BpeParts& parts, const std::string& where) {
  if (added.is_null()) return;
  require(added.is_array(), "{}: 'added_tokens' is {}, not a list", where, brief(added));
  for (const Json& token : added) {
    require(token.is_object() && member(token, "content").is_string() &&
                member(token, "id").is_number_integer(),
            "{}: the added token {} lacks 'content' or 'id'", where, brief(token));
    for (const char* key : {"single_word", "lstrip", "rstrip"}) require_unset(token, key, where);
    const auto wide_id = token["id"].get<std::int64_t>();
    require(wide_id >= 0 && wide_id <= INT32_MAX, "{}: the added token {} has an impossible id",
            where, brief(token));
    const bool special = member(token, "special") == true;
    const Json& normalized = member(token, "normalized");
    parts.added.push_back({static_cast<std::int32_t>(wide_id), token["content"].get<std::string>(),
                           special, normalized.is_null() ? !special : normalized == true});
  }
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  if (in) content << in.rdbuf();
  require(in && !std::filesystem::is_directory(path), "{}: cannot be read", path.string());
  return content.str();
}

BpeModel bpe_model_from_json(const std::string& json, const std::string& where) {
  const Json root = parse_json(json, where);
  require(root.is_object() && member(root, "model").is_object(),
          "{}: no tokenizer.json: it has no 'model'; {}", where, kWhatWorks);
  const Json& model = root["model"];
  const Json& type = member(model, "type");
  // Old files leave the type out; a BPE is then known by its merges.
  require(type == "BPE" || (type.is_null() && model.contains("merges")),
          "{}: 'model.type' is {}, not BPE; {}", where, brief(type), kWhatWorks);
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                          "byte_fallback", "ignore_merges"}) {
    require_unset(model, key, where);
  }
  require_unset(root, "normalizer", where);
  check_splitting(member(root, "pre_tokenizer"), where);
  BpeParts parts;
  read_vocab(member(model, "vocab"), parts, where);
  read_merges(member(model, "merges"), parts, where);
  read_added(member(root, "added_tokens"), parts, where);
  return make_bpe_model(parts, where);
}

BpeModel bpe_model_from_files(const std::filesystem::path& vocab,
                              const std::filesystem::path& merges) {
  BpeParts parts;
  read_vocab(parse_json(read_text_file(vocab), vocab.string()), parts, vocab.string());
  std::istringstream lines(read_text_file(merges));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.starts_with("#version")) continue;
    parts.merges.push_back(split_merge(line, merges.string() + ", line " + std::to_string(number),
                                       parts.merges.size() + 1));
  }
  const std::string where = vocab.string() + " with " + merges.filename().string();
  BpeModel model = make_bpe_model(parts, where);
  model.added.push_back({model.end_of_text,
                         model.spelling[static_cast<std::size_t>(model.end_of_text)], true, false});
  return model;
}

std::string bpe_model_to_json(const BpeModel& model) {
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  Json vocab = Json::object();
  for (std::size_t id = 0; id < model.spelling.size(); ++id) {
    if (!model.spelling[id].empty()) vocab[model.spelling[id]] = id;
  }
  Json merges = Json::array();
  for (const BpeMerge& m : model.merges) {
    merges.push_back({model.spelling[static_cast<std::size_t>(m.left)],
                      model.spelling[static_cast<std::size_t>(m.right)]});
  }
  Json added = Json::array();
  for (const AddedToken& token : model.added) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"special", token.special},
                     {"normalized", token.normalized},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false}});
  }
  const Json root = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", byte_level},
                     {"post_processor", nullptr},
                     {"decoder", byte_level},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", false},
                       {"vocab", vocab},
                       {"merges", merges}}}};
  return root.dump();
}

}  // namespace mixspan
