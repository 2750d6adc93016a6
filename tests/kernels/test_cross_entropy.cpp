#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::differs;
using test::kReduction;
using test::poisoned_tensor;
using test::random_tensor;
using test::some_targets;
using test::TestExec;

constexpr float kScale = 0.125f;

TEST(CrossEntropy, AgreesWithTheOracleOnEveryInstructionSet) {
  TestExec exec(2);
  for (const std::int64_t V : {1, 3, 17, 63, 64, 65, 127, 1000, 1025, 4096, 50257}) {
    for (const std::int64_t rows : {1, 3, 17}) {
      for (const double spread : {1.0, 30.0}) {
        const Tensor logits = random_tensor({rows, V}, 1, spread), targets = some_targets(rows, V);
        Tensor want_losses({rows}, DType::f64), want = test::to_f64(logits);
        oracle::cross_entropy_forward_backward(want_losses, want, targets, kScale);
        for (const Isa isa : test::available_isas()) {
          const std::string what = fmt::format("{} V {} rows {}", name_of(isa), V, rows);
          Tensor losses = poisoned_tensor({rows}), both = poisoned_tensor({rows});
          Tensor gradient = test::copy_of(logits);
          cross_entropy_forward(with_isa(exec, isa), losses, logits, targets);
          cross_entropy_forward_backward(with_isa(exec, isa), both, gradient, targets, kScale);
          EXPECT_EQ(differs(losses, want_losses, kReduction), "") << what;
          EXPECT_EQ(bits_differ(both, losses), "") << what;
          EXPECT_EQ(differs(gradient, want, kReduction), "") << what;
        }
      }
    }
  }
}

TEST(CrossEntropy, IgnoredRowsHaveNoLossAndNoGradientWhateverTheyHold) {
  TestExec exec(2);
  Tensor logits = poisoned_tensor({3, 65}), losses = poisoned_tensor({3}), targets({3}, DType::i32);
  std::fill_n(targets.data<std::int32_t>(), 3, kIgnoreTarget);
  cross_entropy_forward(exec, losses, logits, targets);
  EXPECT_EQ(bits_differ(losses, Tensor({3})), "");
  losses = poisoned_tensor({3});
  cross_entropy_forward_backward(exec, losses, logits, targets, 1.0f);
  EXPECT_EQ(bits_differ(losses, Tensor({3})), "");
  EXPECT_EQ(bits_differ(logits, Tensor({3, 65})), "");
}

TEST(CrossEntropy, TargetsOutsideTheVocabularyThrow) {
  TestExec exec(1);
  for (const std::int32_t bad : {5, 1000, -2}) {
    Tensor logits({1, 5}), losses({1}), targets({1}, DType::i32);
    targets.data<std::int32_t>()[0] = bad;
    EXPECT_THROW(cross_entropy_forward(exec, losses, logits, targets), Error);
    EXPECT_THROW(cross_entropy_forward_backward(exec, losses, logits, targets, 1.0f), Error);
    EXPECT_THROW(oracle::cross_entropy_forward(losses, logits, targets), Error);
  }
}

// A broken model must show in the loss: neither maximum nor clamping may swallow what is not
// finite.
TEST(CrossEntropy, NonfiniteLogitsGiveANonfiniteLoss) {
  TestExec exec(1);
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const Isa isa : test::available_isas()) {
    for (const float bad : {std::nanf(""), inf}) {
      for (const std::int64_t at : {0, 1, 40, 64}) {
        Tensor logits = random_tensor({1, 65}, 1), losses({1}), targets({1}, DType::i32);
        targets.data<std::int32_t>()[0] = 3;
        logits.data<float>()[at] = bad;
        cross_entropy_forward(with_isa(exec, isa), losses, logits, targets);
        EXPECT_FALSE(std::isfinite(losses.data<float>()[0])) << name_of(isa) << " at " << at;
      }
    }
    Tensor logits = random_tensor({1, 65}, 1), losses({1}), targets({1}, DType::i32);
    logits.data<float>()[64] = -inf;  // a forbidden token is no error
    cross_entropy_forward_backward(with_isa(exec, isa), losses, logits, targets, 1.0f);
    EXPECT_TRUE(std::isfinite(losses.data<float>()[0]));
    EXPECT_EQ(logits.data<float>()[64], 0.0f);
  }
}

TEST(CrossEntropy, BitsDoNotDependOnThreads) {
  TestExec one(1);
  const Tensor logits = random_tensor({97, 1025}, 1), targets = some_targets(97, 1025);
  Tensor losses({97}), gradient = test::copy_of(logits);
  cross_entropy_forward_backward(one, losses, gradient, targets, kScale);
  for (const int threads : {2, 3, 5}) {
    TestExec exec(threads);
    Tensor losses2({97}), gradient2 = test::copy_of(logits);
    cross_entropy_forward_backward(exec, losses2, gradient2, targets, kScale);
    EXPECT_EQ(bits_differ(losses2, losses), "") << threads;
    EXPECT_EQ(bits_differ(gradient2, gradient), "") << threads;
  }
}

TEST(CrossEntropyOracle, GradientIsTheCentralDifference) {
  constexpr std::int64_t rows = 3, V = 7;
  Tensor logits = random_tensor({rows, V}, 1, 2.0, DType::f64), losses({rows}, DType::f64);
  const Tensor targets = some_targets(rows, V);
  Tensor gradient = test::copy_of(logits);
  oracle::cross_entropy_forward_backward(losses, gradient, targets, kScale);
  const Tensor want = test::central_differences(logits, [&] {
    oracle::cross_entropy_forward(losses, logits, targets);
    double sum = 0;
    for (std::int64_t r = 0; r < rows; ++r) sum += losses.data<double>()[r];
    return kScale * sum;
  });
  EXPECT_EQ(differs(gradient, want, test::kFiniteDifference), "");
}

}  // namespace
}  // namespace mixspan
