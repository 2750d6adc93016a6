#include "data/unicode_classes.h"

#include <algorithm>

namespace mixspan {

UnicodeClasses::UnicodeClasses() : classes_(0x110000, CharClass::other) {
  for (std::size_t i = 0; i < kUnicodeRunCount; ++i) {
    const std::size_t first = kUnicodeRuns[i] >> 2;
    const std::size_t end = i + 1 < kUnicodeRunCount ? kUnicodeRuns[i + 1] >> 2 : classes_.size();
    std::fill(classes_.begin() + static_cast<std::ptrdiff_t>(first),
              classes_.begin() + static_cast<std::ptrdiff_t>(end),
              static_cast<CharClass>(kUnicodeRuns[i] & 3));
  }
}

}  // namespace mixspan
