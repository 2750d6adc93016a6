// Rows for the tests of argmax_rows.
#pragma once

#include <cmath>
#include <limits>

#include "tests/support/fixture.h"

namespace mixspan::test {

/// (8, V): random; few different values; all equal; rising; with NaNs; -infinities with one number;
/// nothing but -infinities; nothing but NaNs.
inline Tensor argmax_rows_of(std::int64_t V) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  const float nan = std::nanf("");
  Tensor x = random_tensor({8, V}, 1);
  for (std::int64_t v = 0; v < V; ++v) {
    float* column = x.data<float>() + v;
    column[1 * V] = static_cast<float>(v * 7919 % 101 % 5) - 10;
    column[2 * V] = -3;
    column[3 * V] = static_cast<float>(v / 3);
    if (v % 3 != 1) column[4 * V] = nan;
    column[5 * V] = v == V / 2 ? -1e30f : -inf;
    column[6 * V] = v == 0 && V > 1 ? nan : -inf;
    column[7 * V] = nan;
  }
  return x;
}

}  // namespace mixspan::test
