#include "data/word_splitter.h"

#include <unicode/utf8.h>

#include <array>

namespace mixspan {

namespace {

/// The length of the English contraction at the start of `text`, 0 when there is none.
std::size_t contraction(std::string_view text) {
  constexpr std::array<std::string_view, 7> kContractions = {"'s", "'t",  "'re", "'ve",
                                                             "'m", "'ll", "'d"};
  for (const std::string_view c : kContractions) {
    if (text.starts_with(c)) return c.size();
  }
  return 0;
}

}  // namespace

WordSplitter::Char WordSplitter::char_at(std::string_view text, std::size_t begin) const {
  const auto first = static_cast<unsigned char>(text[begin]);
  if (first < 0x80) return {classes_[first], begin + 1};
  const char* const bytes = text.data();
  const std::size_t size = text.size();
  std::size_t end = begin;
  UChar32 point = 0;
  U8_NEXT(bytes, end, size, point);
  return {point < 0 ? CharClass::other : classes_[static_cast<std::uint32_t>(point)], end};
}

std::size_t WordSplitter::run_end(std::string_view text, std::size_t begin, CharClass kind) const {
  while (begin < text.size()) {
    const Char c = char_at(text, begin);
    if (c.kind != kind) break;
    begin = c.end;
  }
  return begin;
}

std::size_t WordSplitter::space_end(std::string_view text, std::size_t begin) const {
  std::size_t last = begin;  // where the last character of the run starts
  std::size_t end = begin;
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (c.kind != CharClass::space) {
      // A run before something else leaves its last character to that, unless it has only one.
      return last > begin ? last : end;
    }
    last = end;
    end = c.end;
  }
  return end;
}

std::size_t WordSplitter::word_end(std::string_view text, std::size_t begin) const {
  if (text[begin] == '\'') {
    const std::size_t length = contraction(text.substr(begin, 3));
    if (length > 0) return begin + length;
  }
  const Char first = char_at(text, begin);
  if (first.kind != CharClass::space) return run_end(text, first.end, first.kind);
  if (text[begin] == ' ' && first.end < text.size()) {
    const Char second = char_at(text, first.end);
    if (second.kind != CharClass::space) return run_end(text, second.end, second.kind);
  }
  return space_end(text, begin);
}

}  // namespace mixspan
