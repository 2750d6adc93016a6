#include "kernels/cross_entropy.h"

#include <cmath>
#include <limits>

#include "tests/cuda/row_test.h"
#include "tests/kernels/dense_support.h"

namespace mixspan::test {
namespace {

constexpr float kScale = 0.125f;

class CudaCrossEntropy : public RowTest {
 protected:
  // losses, losses of the pass with a gradient, gradient.
  std::vector<Tensor> on_device(const Tensor& logits, const Tensor& targets, Lie lie) const {
    const std::int64_t rows = targets.size();
    PlacedRows in = place(logits, lie), gradient = place(logits, lie);
    Tensor losses = poisoned({rows}), both = poisoned({rows});
    const Tensor t = upload(targets);
    cross_entropy_forward(exec(), losses, in.view(), t);
    cross_entropy_forward_backward(exec(), both, gradient.view(), t, kScale);
    std::vector<Tensor> results;
    results.push_back(download(losses));
    results.push_back(download(both));
    results.push_back(fetch(gradient));
    EXPECT_EQ(bits_differ(fetch(in), logits), "");
    return results;
  }
  static void expect_close(DType dtype, const std::vector<Tensor>& got, const Tensor& logits,
                           const Tensor& targets) {
    Tensor losses({targets.size()}, DType::f64), gradient = to_f64(logits);
    oracle::cross_entropy_forward_backward(losses, gradient, targets, kScale);
    EXPECT_EQ(differs(got[0], losses, kReduction), "");
    EXPECT_EQ(bits_differ(got[1], got[0]), "");
    EXPECT_EQ(differs(got[2], gradient, stored_as(dtype, kReduction)), "");
  }
};

TEST_F(CudaCrossEntropy, EqualsTheOracle) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t V : {1, 3, 17, 64, 1000, 1025, 4104}) {
      for (const std::int64_t rows : {1, 5}) {
        for (const Lie lie : kLies) {
          for (const double spread : {1.0, 30.0}) {
            SCOPED_TRACE(fmt::format("{} V {} rows {} lie {} spread {}", name_of(dtype), V, rows,
                                     static_cast<int>(lie), spread));
            const Tensor logits = stored_random(dtype, {rows, V}, 1, spread);
            const Tensor targets = some_targets(rows, V);
            expect_close(dtype, on_device(as_dtype(dtype, logits), targets, lie), logits, targets);
          }
        }
      }
    }
  }
}

TEST_F(CudaCrossEntropy, EqualsTheOracleOnWideRowsAndGivesTheSameBits) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t V : {50257, 200003}) {
      const Tensor logits = stored_random(dtype, {2, V}, 1, 3.0);
      const Tensor targets = some_targets(2, V);
      const auto run = [&] { return on_device(as_dtype(dtype, logits), targets, Lie::together); };
      SCOPED_TRACE(fmt::format("{} V {}", name_of(dtype), V));
      expect_close(dtype, V > 100000 ? run() : steady(run), logits, targets);
    }
  }
}

// The loss of a certain prediction is the small difference of large numbers.
TEST_F(CudaCrossEntropy, KeepsTheLossOfACertainPrediction) {
  for (const DType dtype : kModelTypes) {
    Tensor logits({1, 1000}), targets({1}, DType::i32), want({1}, DType::f64);
    logits.data<float>()[77] = 16.0f;
    targets.data<std::int32_t>()[0] = 77;
    oracle::cross_entropy_forward(want, to_f64(logits), targets);
    const Tensor got = std::move(on_device(as_dtype(dtype, logits), targets, Lie::together)[0]);
    EXPECT_NEAR(got.data<float>()[0] / want.data<double>()[0], 1.0, 2e-3);
  }
}

TEST_F(CudaCrossEntropy, IgnoredRowsHaveNoLossAndNoGradientWhateverTheyHold) {
  for (const DType dtype : kModelTypes) {
    for (const Lie lie : kLies) {
      Tensor targets({3}, DType::i32);
      std::fill_n(targets.data<std::int32_t>(), 3, kIgnoreTarget);
      const std::vector<Tensor> got = on_device(poisoned_tensor({3, 65}, dtype), targets, lie);
      EXPECT_EQ(bits_differ(got[0], Tensor({3})), "");
      EXPECT_EQ(bits_differ(got[1], Tensor({3})), "");
      EXPECT_EQ(bits_differ(got[2], Tensor({3, 65}, dtype)), "");
    }
  }
}

TEST_F(CudaCrossEntropy, ATargetOutsideTheVocabularyMakesItsRowNans) {
  for (const DType dtype : kModelTypes) {
    for (const std::int32_t bad : {21, 1000, -2}) {
      const Tensor logits = stored_random(dtype, {3, 21}, 1);
      Tensor targets({3}, DType::i32);
      targets.data<std::int32_t>()[1] = bad;
      const std::vector<Tensor> got = on_device(as_dtype(dtype, logits), targets, Lie::together);
      const Tensor gradient = as_dtype(DType::f32, got[2]);
      for (std::int64_t r = 0; r < 3; ++r) {
        EXPECT_EQ(std::isnan(got[0].data<float>()[r]), r == 1) << bad;
        EXPECT_EQ(std::isnan(got[1].data<float>()[r]), r == 1) << bad;
        for (std::int64_t v = 0; v < 21; ++v) {
          EXPECT_EQ(std::isnan(gradient.data<float>()[r * 21 + v]), r == 1) << bad;
        }
      }
    }
  }
}

// A broken model must show in the loss: neither maximum nor clamping may swallow what is not
// finite.
TEST_F(CudaCrossEntropy, NonfiniteLogitsGiveANonfiniteLoss) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  Tensor targets({1}, DType::i32);
  targets.data<std::int32_t>()[0] = 3;
  for (const DType dtype : kModelTypes) {
    for (const float bad : {std::nanf(""), inf}) {
      for (const std::int64_t at : {0, 1, 3, 40, 64}) {
        Tensor logits = random_tensor({1, 65}, 1);
        logits.data<float>()[at] = bad;
        const auto got = on_device(as_dtype(dtype, logits), targets, Lie::together);
        EXPECT_FALSE(std::isfinite(got[0].data<float>()[0])) << at;
        EXPECT_FALSE(std::isfinite(got[1].data<float>()[0])) << at;
      }
    }
    Tensor logits = random_tensor({1, 65}, 1);
    std::fill_n(logits.data<float>() + 32, 33, -inf);  // forbidden tokens are no error
    const auto got = on_device(as_dtype(dtype, logits), targets, Lie::together);
    EXPECT_TRUE(std::isfinite(got[0].data<float>()[0]));
    EXPECT_EQ(as_dtype(DType::f32, got[2]).data<float>()[64], 0.0f);
  }
}

}  // namespace
}  // namespace mixspan::test
