// The three classes of characters that GPT-2's splitting pattern tells apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mixspan {

enum class CharClass : std::uint8_t { other = 0, letter = 1, number = 2, space = 3 };

/// Runs of code points of one class, ascending, from 0 on: first code point * 4 + class. Unicode
/// 16.0; in the repository rather than from ICU, so that a corpus has the same tokens on machines
/// whose ICU knows another Unicode.
extern const std::uint32_t kUnicodeRuns[];
extern const std::size_t kUnicodeRunCount;

/// The class of every code point: \p{L}, \p{N}, \s (White_Space), or none of them.
class UnicodeClasses {
 public:
  UnicodeClasses();
  /// `point` is at most 0x10ffff.
  CharClass operator[](std::uint32_t point) const { return classes_[point]; }

 private:
  std::vector<CharClass> classes_;
};

}  // namespace mixspan
