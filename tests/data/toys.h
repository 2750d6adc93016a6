// Small tokenizers and corpora for the tests of this folder.
#pragma once

#include <cctype>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/tokenizer.h"

namespace mixspan::test {

/// Bytes are tokens; 256 is the end of text.
class ByteToy : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text, SpecialTokens) const override {
    std::vector<std::int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 256) text.push_back(static_cast<char>(id));
    }
    return text;
  }
  std::int64_t vocab_size() const override { return 257; }
  std::int32_t end_of_text() const override { return 256; }
  std::string name() const override { return "byte toy"; }
  std::string to_json() const override { return R"({"toy":"bytes"})"; }
};

/// Splits ASCII text as GPT-2 does (a space goes with the word behind it, other white space stands
/// alone) and numbers the pieces by their hash: what one piece holds decides its token, so a text
/// cut at a wrong place shows.
class WordToy : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text, SpecialTokens) const override {
    std::vector<std::int32_t> ids;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = piece_end(text, at);
      const auto hash = std::hash<std::string_view>()(text.substr(at, end - at));
      ids.push_back(static_cast<std::int32_t>(hash % 69999));
      at = end;
    }
    return ids;
  }
  std::string decode(std::span<const std::int32_t> ids) const override {
    return std::string(ids.size(), '?');
  }
  std::int64_t vocab_size() const override { return 70000; }
  std::int32_t end_of_text() const override { return 69999; }
  std::string name() const override { return "word toy"; }
  std::string to_json() const override { return R"({"toy":"words"})"; }

 private:
  static bool space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
  static std::size_t piece_end(std::string_view text, std::size_t at) {
    std::size_t end = at;
    while (end < text.size() && space(text[end])) ++end;
    const std::size_t spaces = end - at;
    if (spaces > 1 && end < text.size()) return end - 1;                    // \s+(?!\S)
    if (spaces > 0 && (end == text.size() || text[at] != ' ')) return end;  // \s+
    while (end < text.size() && !space(text[end])) ++end;                   // " ?\S+"
    return end;
  }
};

/// What the corpora below are made with: `vocab` ids of one byte each, 0 the end of text.
inline CorpusTokens toy_tokens(std::int64_t vocab = 60000) {
  CorpusTokens tokens{.tokenizer_json = R"({"toy":"numbers"})",
                      .tokenizer_name = "numbers",
                      .vocab_size = vocab,
                      .end_of_text = 0,
                      .num_bytes = std::vector<std::int32_t>(static_cast<std::size_t>(vocab), 1)};
  tokens.num_bytes[0] = 0;
  return tokens;
}

/// A corpus whose documents have the given lengths in tokens, end of text not counted. Token
/// values count up from 1 through the whole corpus, so that a value says where it came from.
inline void write_numbered_corpus(const std::filesystem::path& path,
                                  const std::vector<std::int64_t>& lengths) {
  CorpusWriter writer(path, toy_tokens());
  std::int32_t next = 1;
  for (const std::int64_t length : lengths) {
    std::vector<std::int32_t> tokens;
    for (std::int64_t i = 0; i < length; ++i) tokens.push_back(next++);
    std::string text(static_cast<std::size_t>(length), 'x');
    if (!text.empty()) text.replace(0, std::min<std::size_t>(8, text.size()), std::to_string(next));
    text.resize(static_cast<std::size_t>(length), 'x');
    writer.begin_document();
    writer.append(tokens, text);
    writer.end_document();
  }
  writer.finish();
}

}  // namespace mixspan::test
