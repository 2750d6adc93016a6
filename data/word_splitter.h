// Cuts text into the words inside which BPE merges.
#pragma once

#include <cstddef>
#include <string_view>

#include "data/unicode_classes.h"

namespace mixspan {

/// GPT-2's pattern, by hand:
///   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
/// The words, in order, are the whole text. Bytes that are not UTF-8 count as neither letter,
/// number nor space.
class WordSplitter {
 public:
  /// The end of the word that starts at `begin` < text.size(). Text ends where `text` ends: the
  /// white space before it is one word.
  std::size_t word_end(std::string_view text, std::size_t begin) const;

 private:
  struct Char {
    CharClass kind;
    std::size_t end;
  };
  Char char_at(std::string_view text, std::size_t begin) const;
  /// The end of the run of `kind` from `begin` on; `begin` itself when there is none.
  std::size_t run_end(std::string_view text, std::size_t begin, CharClass kind) const;
  std::size_t space_end(std::string_view text, std::size_t begin) const;

  UnicodeClasses classes_;
};

}  // namespace mixspan
