// What a byte-level BPE tokenizer consists of, and the files it is read from.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mixspan {

/// A token that is found in the text before it is split into words.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;     ///< a control token; else only a word that must stay whole
  bool normalized = false;  ///< found in a second pass, after those that are not
};

struct BpeMerge {
  std::int32_t left, right, result;
};

struct BpeModel {
  std::vector<std::string> spelling;         ///< by id, in byte symbols; empty: no token has the id
  std::vector<BpeMerge> merges;              ///< by rank; no pair twice
  std::vector<AddedToken> added;             ///< by id
  std::array<std::int32_t, 256> byte_ids{};  ///< the token of each single byte
  std::int32_t end_of_text = 0;

  /// One more than the largest id, added tokens included.
  std::int64_t vocab_size() const;
};

/// What the files say, before it is checked.
struct BpeParts {
  std::vector<std::pair<std::string, std::int64_t>> vocab;  ///< spelling, id
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::vector<AddedToken> added;
};

/// Refuses, naming `where`, what no byte-level BPE can be: ids twice or out of range, a byte
/// without a token, merges of absent tokens, no end-of-text token.
BpeModel make_bpe_model(const BpeParts& parts, const std::string& where);

/// The content of a Hugging Face tokenizer.json.
BpeModel bpe_model_from_json(const std::string& json, const std::string& where);
/// vocab.json and merges.txt (GPT-2's encoder.json and vocab.bpe). The end-of-text token becomes a
/// special one.
BpeModel bpe_model_from_files(const std::filesystem::path& vocab,
                              const std::filesystem::path& merges);
/// A tokenizer.json that depends on the model alone.
std::string bpe_model_to_json(const BpeModel& model);

/// The whole file; refuses when it cannot be read.
std::string read_text_file(const std::filesystem::path& path);

/// The start of a token or of a line for a message: no control characters.
std::string shown(std::string_view text);

/// The name of the token that ends documents in vocabularies that Mixspan trains.
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

}  // namespace mixspan
