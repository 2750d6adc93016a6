#include "core/rng.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "core/error.h"
#include "core/hash.h"

namespace mixspan {

namespace {
__extension__ using Wide = unsigned __int128;

constexpr std::uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;

double to_unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }
}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                        std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0];
    const std::uint64_t p1 = std::uint64_t{kMultiplier1} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += kWeyl0;
    k[1] += kWeyl1;
  }
  return c;
}

RandomStream::RandomStream(std::uint64_t seed, std::string_view name) {
  const std::uint64_t name_hash = xxh3_64(name.data(), name.size());
  key_ = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  counter_high_ = {static_cast<std::uint32_t>(name_hash),
                   static_cast<std::uint32_t>(name_hash >> 32)};
}

std::uint64_t RandomStream::bits(std::uint64_t index) const {
  const auto r =
      philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                  counter_high_[0], counter_high_[1]},
                 key_);
  return std::uint64_t{r[0]} << 32 | r[1];
}

double RandomStream::uniform(std::uint64_t index) const { return to_unit(bits(index)); }

double RandomStream::normal(std::uint64_t index) const {
  const auto r =
      philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
                  counter_high_[0], counter_high_[1]},
                 key_);
  const double u =
      1.0 - to_unit(std::uint64_t{r[0]} << 32 | r[1]);  // (0, 1], so that log is finite
  const double v = to_unit(std::uint64_t{r[2]} << 32 | r[3]);
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::uint64_t RandomStream::below(std::uint64_t n, std::uint64_t index) const {
  check(n >= 1, "a random number below {} was asked for", n);
  return static_cast<std::uint64_t>((static_cast<Wide>(bits(index)) * n) >> 64);
}

std::uint64_t permute(std::uint64_t i, std::uint64_t n, std::uint64_t seed, std::string_view name) {
  check(i < n, "permute: index {} is not below {}", i, n);
  int half_bits = 1;
  while (half_bits < 32 && (std::uint64_t{1} << (2 * half_bits)) < n) ++half_bits;
  const std::uint64_t mask = (std::uint64_t{1} << half_bits) - 1;
  const RandomStream stream(seed, name);
  do {
    std::uint64_t left = i >> half_bits, right = i & mask;
    for (std::uint64_t round = 0; round < 4; ++round) {
      const std::uint64_t mixed = stream.bits(round << 40 | right) & mask;
      left = std::exchange(right, left ^ mixed);
    }
    i = left << half_bits | right;
  } while (i >= n);
  return i;
}

}  // namespace mixspan
