// Numbers for the tests of casts.
#pragma once

#include <bit>
#include <cstdint>

#include "tests/support/fixture.h"

namespace mixspan::test {

/// (n) f32, n >= 14: ties to even on both sides, what rounds to infinity, denormals, zeros of both
/// signs, infinities; the rest is random.
inline Tensor cast_numbers(std::int64_t n) {
  const std::uint32_t bits[] = {0x3f808000u, 0x3f818000u, 0x3f808001u, 0x3f817fffu, 0x7f7fffffu,
                                0x7f7f7fffu, 0x00000001u, 0x00008000u, 0x00018000u, 0x80000000u,
                                0x00000000u, 0x7f800000u, 0xff800000u, 0xbf818000u};
  Tensor x = random_tensor({n}, 1, 100.0);
  std::int64_t i = 0;
  for (const std::uint32_t b : bits) x.data<float>()[i++] = std::bit_cast<float>(b);
  return x;
}

}  // namespace mixspan::test
