#include "kernels/residual.h"

#include <gtest/gtest.h>

#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using namespace test;

TEST(BiasResidual, AgreesWithTheOracle) {
  TestExec exec(2);
  for (const std::int64_t rows : {0, 1, 5, 700}) {
    for (const std::int64_t C : {1, 17, 96}) {
      const Tensor x = random_tensor({rows, C}, 1), bias = random_tensor({C}, 2);
      const Tensor residual = random_tensor({rows, C}, 3);
      Tensor y = poisoned_tensor({rows, C}), want({rows, C}, DType::f64);
      bias_residual(exec, y, x, bias, residual);
      oracle::bias_residual(want, x, bias, residual);
      EXPECT_EQ(differs(y, want, kElementwise), "") << rows << " x " << C;
    }
  }
}

TEST(BiasResidual, OverwritesTheSumOrTheResidualItself) {
  TestExec exec(2);
  const Tensor x = random_tensor({300, 70}, 1), bias = random_tensor({70}, 2);
  const Tensor residual = random_tensor({300, 70}, 3);
  Tensor want({300, 70}), over_x = copy_of(x), over_residual = copy_of(residual);
  bias_residual(exec, want, x, bias, residual);
  bias_residual(exec, over_x, over_x, bias, residual);
  bias_residual(exec, over_residual, x, bias, over_residual);
  EXPECT_EQ(bits_differ(over_x, want), "");
  EXPECT_EQ(bits_differ(over_residual, want), "");
}

}  // namespace
}  // namespace mixspan
