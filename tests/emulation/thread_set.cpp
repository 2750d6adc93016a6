#include <bit>

#include "tests/emulation/block.h"

namespace mixspan::emulation {

bool ThreadSet::empty() const {
  for (const std::uint64_t word : words_) {
    if (word != 0) return false;
  }
  return true;
}

int ThreadSet::first() const {
  for (std::size_t w = 0; w < words_.size(); ++w) {
    if (words_[w] != 0) return static_cast<int>(w) * 64 + std::countr_zero(words_[w]);
  }
  return -1;
}

int ThreadSet::last() const {
  for (std::size_t w = words_.size(); w-- > 0;) {
    if (words_[w] != 0) return static_cast<int>(w) * 64 + 63 - std::countl_zero(words_[w]);
  }
  return -1;
}

int ThreadSet::size() const {
  int n = 0;
  for (const std::uint64_t word : words_) n += std::popcount(word);
  return n;
}

int ThreadSet::nth(int n) const {
  for (std::size_t w = 0; w < words_.size(); ++w) {
    const int here = std::popcount(words_[w]);
    if (n >= here) {
      n -= here;
      continue;
    }
    std::uint64_t word = words_[w];
    for (; n > 0; --n) word &= word - 1;
    return static_cast<int>(w) * 64 + std::countr_zero(word);
  }
  return -1;
}

}  // namespace mixspan::emulation
