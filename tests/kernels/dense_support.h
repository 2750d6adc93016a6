// What the tests of the dense operations share.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "core/cpu.h"
#include "core/targets.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

/// Every instruction set that this processor has a path for.
inline std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa <= best_isa()) isas.push_back(isa);
  }
  return isas;
}

/// Lengths around the widths of vectors, their unrolling and the pieces of sums.
inline constexpr std::int64_t kLengths[] = {1, 3, 17, 63, 64, 65, 127, 384, 1000, 1025};

/// The gradient of loss() with respect to x (f64), by central differences with step 1e-5.
inline Tensor central_differences(Tensor& x, const std::function<double()>& loss) {
  constexpr double step = 1e-5;
  Tensor gradient(x.shape(), DType::f64);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    double& value = x.data<double>()[i];
    const double before = value;
    value = before + step;
    const double above = loss();
    value = before - step;
    const double below = loss();
    value = before;
    gradient.data<double>()[i] = (above - below) / (2 * step);
  }
  return gradient;
}

/// Sum of the products of two f64 tensors: with random weights, a loss that sees every output.
inline double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) sum += a.data<double>()[i] * b.data<double>()[i];
  return sum;
}

/// (n) i32, each in [0, limit), a fixed function of the seed.
inline Tensor random_indices(std::int64_t n, std::int64_t limit, std::uint64_t seed) {
  const Tensor noise = random_tensor({n}, seed, 1e6);
  Tensor indices({n}, DType::i32);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto draw = static_cast<std::int64_t>(std::abs(noise.data<float>()[i]));
    indices.data<std::int32_t>()[i] = static_cast<std::int32_t>(draw % limit);
  }
  return indices;
}

/// Targets that touch the first and the last token, with every seventh row ignored.
inline Tensor some_targets(std::int64_t rows, std::int64_t V) {
  Tensor targets = random_indices(rows, V, 9);
  std::int32_t* t = targets.data<std::int32_t>();
  t[0] = static_cast<std::int32_t>(V - 1);
  if (rows > 1) t[1] = 0;
  for (std::int64_t r = 2; r < rows; r += 7) t[r] = kIgnoreTarget;
  return targets;
}

}  // namespace mixspan::test
