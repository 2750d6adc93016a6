#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::differs;
using test::kElementwise;
using test::random_tensor;
using test::TestExec;

AdamWStep step_number(std::int64_t t) {
  return {.lr = 1e-2,
          .beta1 = 0.9,
          .beta2 = 0.95,
          .eps = 1e-8,
          .weight_decay = 0.1,
          .t = t,
          .grad_scale = 0.5};
}

TEST(AdamW, FollowsTheOracleOverStepsOnEveryInstructionSet) {
  TestExec exec(2);
  for (const Isa isa : test::available_isas()) {
    for (const std::int64_t n : {1, 3, 17, 63, 64, 65, 127, 1000, 40000}) {
      Tensor w = random_tensor({n}, 1), m({n}), v({n});
      Tensor want_w = test::to_f64(w), want_m({n}, DType::f64), want_v({n}, DType::f64);
      for (std::int64_t t = 1; t <= 5; ++t) {
        const Tensor g = random_tensor({n}, static_cast<std::uint64_t>(10 + t), 0.1);
        adamw(with_isa(exec, isa), w, m, v, g, step_number(t));
        oracle::adamw(want_w, want_m, want_v, g, step_number(t));
      }
      const std::string what = fmt::format("{} n {}", name_of(isa), n);
      EXPECT_EQ(differs(w, want_w, kElementwise), "") << what;
      EXPECT_EQ(differs(m, want_m, kElementwise), "") << what;
      EXPECT_EQ(differs(v, want_v, kElementwise), "") << what;
    }
  }
}

// Published numbers do not exist; the first step is known in closed form: with zero moments it is
// lr * sign(g) (for eps << |g|), whatever the size of the gradient, plus the decay.
TEST(AdamWOracle, FirstStepIsTheSignOfTheGradient) {
  Tensor w({3}, DType::f64), m({3}, DType::f64), v({3}, DType::f64), g({3}, DType::f64);
  const double gradients[] = {1e-3, -2.0, 50.0};
  for (int i = 0; i < 3; ++i) {
    w.data<double>()[i] = 4;
    g.data<double>()[i] = gradients[i];
  }
  oracle::adamw(w, m, v, g, step_number(1));
  for (int i = 0; i < 3; ++i) {
    const double sign = gradients[i] > 0 ? 1 : -1;
    EXPECT_NEAR(w.data<double>()[i], 4 - 1e-2 * (sign + 0.1 * 4), 1e-6);
  }
}

TEST(AdamW, AZeroGradientAtZeroMomentsOnlyDecays) {
  TestExec exec(1);
  Tensor w = random_tensor({100}, 1), m({100}), v({100}), g({100});
  const Tensor before = test::copy_of(w);
  adamw(exec, w, m, v, g, step_number(1));
  for (std::int64_t i = 0; i < 100; ++i) {
    EXPECT_FLOAT_EQ(w.data<float>()[i], before.data<float>()[i] * (1 - 1e-3f));
  }
}

TEST(AdamW, RoundsTheNewWeightsWhereAsked) {
  TestExec exec(2);
  for (const bool by_oracle : {false, true}) {
    Exec e = exec.exec();
    e.oracle = by_oracle;
    const std::int64_t n = 20001;
    Tensor w = random_tensor({n}, 1), m({n}), v({n}), rounded({n}, DType::bf16);
    adamw(e, w, m, v, random_tensor({n}, 2), step_number(1), rounded);
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(rounded.data<bf16>()[i].bits, bf16(w.data<float>()[i]).bits) << i;
    }
  }
}

TEST(AdamW, BitsDoNotDependOnThreads) {
  constexpr std::int64_t n = 100001;
  const Tensor g = random_tensor({n}, 2);
  TestExec one(1);
  Tensor w = random_tensor({n}, 1), m({n}), v({n});
  adamw(one, w, m, v, g, step_number(1));
  for (const int threads : {2, 3, 5}) {
    TestExec exec(threads);
    Tensor w2 = random_tensor({n}, 1), m2({n}), v2({n});
    adamw(exec, w2, m2, v2, g, step_number(1));
    EXPECT_EQ(bits_differ(w2, w), "") << threads;
    EXPECT_EQ(bits_differ(m2, m), "") << threads;
    EXPECT_EQ(bits_differ(v2, v), "") << threads;
  }
}

}  // namespace
}  // namespace mixspan
