// Text from files and folders, document by document, in bounded memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace mixspan {

/// A part of one document. A long document arrives in several parts, cut only before white space
/// that follows something else: no token of a byte-level BPE spans such a place, so the tokens of
/// the parts are the tokens of the whole.
struct TextPart {
  std::string text;
  bool first = false;  ///< begins a document
  bool last = false;   ///< ends it
};

/// What was read, and what was left out on the way.
struct TextCounts {
  std::int64_t files = 0;
  std::int64_t binary_files = 0;     ///< in folders: left out
  std::int64_t empty_documents = 0;  ///< left out
  std::int64_t broken_utf8 = 0;      ///< documents with bytes that are no UTF-8: kept as they are
  std::int64_t cut_words = 0;  ///< parts cut inside a word longer than TextSource::kLongestWord
};

/// Reads plain text, .gz, .jsonl (the key "text" of each line) and folders (all files below, sorted
/// by path, without hidden ones). One document a file, in .jsonl one a line. A named file that
/// cannot be read, is binary or is damaged is refused; a binary file in a folder is left out and
/// counted.
class TextSource {
 public:
  static constexpr std::size_t kPartBytes = 1 << 20;      ///< parts are about this long
  static constexpr std::size_t kLongestWord = 16 << 20;   ///< without white space to cut before
  static constexpr std::size_t kLongestLine = 256 << 20;  ///< of a .jsonl file

  /// Lists the inputs; throws InputError when one is not there or a folder holds no file.
  explicit TextSource(const std::vector<std::filesystem::path>& inputs);
  ~TextSource();
  TextSource(const TextSource&) = delete;
  TextSource& operator=(const TextSource&) = delete;

  /// Overwrites `part` with the next one; false at the end.
  bool next(TextPart& part);

  const TextCounts& counts() const;
  std::int64_t input_bytes() const;  ///< size of all inputs on disk
  std::int64_t bytes_read() const;   ///< of these, for a progress line

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mixspan
