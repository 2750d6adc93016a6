// Counter-based random numbers: the value at an index is a pure function of (seed, name, index), so
// any sharding, any order and any device draws the same numbers.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mixspan {

/// Philox4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

/// A stream of random numbers addressed by index. `name` says what the numbers are for (a
/// parameter's name, "shuffle"); streams of different names or seeds are independent.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view name);

  std::uint64_t bits(std::uint64_t index) const;  ///< 64 uniform bits
  double uniform(std::uint64_t index) const;      ///< [0, 1), 53 bits
  double normal(std::uint64_t index) const;       ///< mean 0, variance 1 (Box-Muller)
  /// Uniform in [0, n), n >= 1, without bias worth naming (64-bit multiply-shift).
  std::uint64_t below(std::uint64_t n, std::uint64_t index) const;

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 2> counter_high_;
};

/// A pseudo-random permutation of [0, n) evaluated at i: a 4-round Feistel network over the next
/// power of four, walked until it lands below n. No table, so any rank can ask for any element.
std::uint64_t permute(std::uint64_t i, std::uint64_t n, std::uint64_t seed, std::string_view name);

}  // namespace mixspan
