#include "kernels/gelu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::differs;
using test::kElementwise;
using test::poisoned_tensor;
using test::random_tensor;
using test::TestExec;

TEST(Gelu, AgreesWithTheOracleOnEveryInstructionSet) {
  TestExec exec(2);
  for (const Isa isa : test::available_isas()) {
    for (const std::int64_t n : test::kLengths) {
      for (const double spread : {0.01, 1.0, 6.0}) {
        const Tensor x = random_tensor({n}, 1, spread), dy = random_tensor({n}, 2);
        Tensor y = poisoned_tensor({n}), dx = poisoned_tensor({n});
        Tensor want_y({n}, DType::f64), want_dx({n}, DType::f64);
        gelu_forward(with_isa(exec, isa), y, x);
        gelu_backward(with_isa(exec, isa), dx, dy, x);
        Tensor both_y = test::copy_of(x), both_dx = test::copy_of(dy);
        gelu_backward(with_isa(exec, isa), both_dx, both_dx, both_y, both_y);
        EXPECT_EQ(bits_differ(both_y, y), "") << name_of(isa) << " " << n;
        EXPECT_EQ(bits_differ(both_dx, dx), "") << name_of(isa) << " " << n;
        oracle::gelu_forward(want_y, x);
        oracle::gelu_backward(want_dx, dy, x);
        EXPECT_EQ(differs(y, want_y, kElementwise), "") << name_of(isa) << " " << n;
        EXPECT_EQ(differs(dx, want_dx, kElementwise), "") << name_of(isa) << " " << n;
      }
    }
  }
}

// Far out in the lower tail 1 + tanh cancels; the fast version keeps its relative accuracy there.
TEST(Gelu, KeepsRelativeAccuracyInTheLowerTail) {
  TestExec exec(1);
  for (const Isa isa : test::available_isas()) {
    for (const float x : {-1e-6f, -1.0f, -3.0f, -4.5f}) {
      Tensor in({1}), out({1});
      in.data<float>()[0] = x;
      gelu_forward(with_isa(exec, isa), out, in);
      const long double v = x;
      const long double inner = std::sqrt(2 / std::acos(-1.0L)) * (v + 0.044715L * v * v * v);
      const auto want = static_cast<double>(v / (1 + std::exp(-2 * inner)));
      EXPECT_NEAR(out.data<float>()[0] / want, 1.0, 3e-6) << name_of(isa) << " " << x;
    }
  }
}

TEST(Gelu, ExtremesAreExactAndNanStaysNan) {
  TestExec exec(1);
  for (const Isa isa : test::available_isas()) {
    Tensor x({6}), y({6}), dy({6}), dx({6});
    const float values[] = {0.0f, 30.0f, 1e4f, -30.0f, -1e4f, std::nanf("")};
    std::copy(std::begin(values), std::end(values), x.data<float>());
    std::fill_n(dy.data<float>(), 6, 1.0f);
    gelu_forward(with_isa(exec, isa), y, x);
    gelu_backward(with_isa(exec, isa), dx, dy, x);
    EXPECT_EQ(y.data<float>()[0], 0.0f);
    EXPECT_EQ(dx.data<float>()[0], 0.5f);
    for (const int i : {1, 2}) {
      EXPECT_EQ(y.data<float>()[i], values[i]);
      EXPECT_EQ(dx.data<float>()[i], 1.0f);
    }
    for (const int i : {3, 4}) {
      EXPECT_NEAR(y.data<float>()[i], 0.0f, 1e-30f);
      EXPECT_NEAR(dx.data<float>()[i], 0.0f, 1e-25f);
    }
    EXPECT_TRUE(std::isnan(y.data<float>()[5]) && std::isnan(dx.data<float>()[5]));
  }
}

TEST(Gelu, WorksInPlaceAndWithAnyNumberOfThreads) {
  TestExec one(1);
  const Tensor x = random_tensor({100, 1001}, 1), dy = random_tensor({100, 1001}, 2);
  Tensor y(x.shape()), dx(x.shape());
  gelu_forward(one, y, x);
  gelu_backward(one, dx, dy, x);
  for (const int threads : {1, 2, 3, 5}) {
    TestExec exec(threads);
    Tensor y2 = test::copy_of(x), dx2 = test::copy_of(dy);
    gelu_forward(exec, y2, y2);
    gelu_backward(exec, dx2, dx2, x);
    EXPECT_EQ(bits_differ(y2, y), "") << threads;
    EXPECT_EQ(bits_differ(dx2, dx), "") << threads;
  }
}

TEST(GeluOracle, GradientIsTheCentralDifference) {
  Tensor x = random_tensor({40}, 1, 2.0, DType::f64), y({40}, DType::f64), dx({40}, DType::f64);
  const Tensor dy = random_tensor({40}, 2, 1.0, DType::f64);
  oracle::gelu_backward(dx, dy, x);
  const Tensor want = test::central_differences(x, [&] {
    oracle::gelu_forward(y, x);
    return test::dot(y, dy);
  });
  EXPECT_EQ(differs(dx, want, test::kFiniteDifference), "");
}

}  // namespace
}  // namespace mixspan
