// A tokenized corpus in one HDF5 file: tokens, document bounds, tokenizer, checksums.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mixspan {

/// What the tokens of a corpus are.
struct CorpusTokens {
  std::string tokenizer_json;           ///< what tokenizer_from_json reads
  std::string tokenizer_name;           ///< for people
  std::int64_t vocab_size = 0;          ///< every token is below it
  std::int32_t end_of_text = 0;         ///< stands before every document
  std::vector<std::int32_t> num_bytes;  ///< (vocab_size) bytes of text each token stands for
};

/// Writes OUT.tmp document by document in bounded memory; finish() makes it OUT in one rename.
/// Until then an existing OUT is untouched, and without finish() OUT.tmp is removed again. An
/// existing OUT that is no corpus is refused: it may be somebody's text.
class CorpusWriter {
 public:
  CorpusWriter(std::filesystem::path out, CorpusTokens tokens);
  ~CorpusWriter();
  CorpusWriter(const CorpusWriter&) = delete;
  CorpusWriter& operator=(const CorpusWriter&) = delete;

  void begin_document();
  /// The next tokens of the document and the text they were made of.
  void append(std::span<const std::int32_t> tokens, std::string_view text);
  void end_document();
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// An open corpus. All functions may be called from any thread.
class Corpus {
 public:
  /// Reads the whole file once and compares every digest; throws InputError, one line, when the
  /// file is missing, truncated, damaged, no corpus, or of a newer version.
  static std::shared_ptr<const Corpus> open(const std::filesystem::path& path);
  ~Corpus();

  const CorpusTokens& tokens() const;
  std::int64_t num_documents() const;
  std::int64_t num_tokens() const;  ///< the end-of-text tokens before the documents included
  /// num_documents() + 1 places: document d is tokens [at(d), at(d + 1)), end-of-text first.
  std::span<const std::int64_t> document_offsets() const;
  std::span<const std::int64_t> document_bytes() const;   ///< size of each document's text
  std::span<const std::int64_t> document_hashes() const;  ///< XXH3 of each document's text
  /// Fills `into` with tokens [begin, begin + into.size()).
  void read(std::int64_t begin, std::span<std::int32_t> into) const;
  std::uint64_t digest() const;  ///< of everything a reader can see
  const std::filesystem::path& path() const;

 private:
  struct State;
  explicit Corpus(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mixspan
