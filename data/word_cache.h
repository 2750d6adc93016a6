// Remembers the tokens of words seen lately.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace mixspan {

/// A table of fixed size in which a word's hash names the one place it may be; a newer word takes
/// the place of an older one. Long words are not kept.
class WordCache {
 public:
  WordCache();
  /// The tokens of `word`; empty when they are not here.
  std::span<const std::int32_t> find(std::string_view word, std::uint64_t hash) const;
  void store(std::string_view word, std::uint64_t hash, std::span<const std::int32_t> tokens);
  static bool keeps(std::string_view word) { return word.size() <= kMaxBytes; }

 private:
  static constexpr std::size_t kMaxBytes = 22;
  static constexpr std::size_t kMaxTokens = 10;
  static constexpr std::size_t kSlots = 1 << 15;
  struct alignas(64) Slot {
    std::uint8_t bytes = 0;  ///< 0: nothing here
    std::uint8_t count = 0;
    std::array<char, kMaxBytes> word;
    std::array<std::int32_t, kMaxTokens> tokens;
  };
  static_assert(sizeof(Slot) == 64, "one cache line");

  std::vector<Slot> slots_;
};

}  // namespace mixspan
