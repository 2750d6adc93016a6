#include "kernels/argmax.h"

#include <gtest/gtest.h>

#include "tests/kernels/argmax_cases.h"

namespace mixspan::test {
namespace {

TEST(Argmax, EqualsTheOracle) {
  for (const std::int64_t V : {1, 3, 17, 64, 1000, 50257}) {
    const Tensor x = argmax_rows_of(V);
    Tensor want({8}, DType::i32);
    oracle::argmax_rows(want, x, 100);
    for (const int threads : {1, 3}) {
      TestExec exec(threads);
      Tensor got = poisoned_tensor({8}, DType::i32);
      argmax_rows(exec, got, x, 100);
      for (int r = 0; r < 8; ++r) {
        EXPECT_EQ(got.data<std::int32_t>()[r], want.data<std::int32_t>()[r]) << V << " row " << r;
      }
    }
  }
}

TEST(ArgmaxOracle, TakesTheFirstOfTheLargestNumbers) {
  const std::int64_t V = 1000;
  Tensor index({8}, DType::i32);
  oracle::argmax_rows(index, argmax_rows_of(V), 0);
  const std::int32_t* i = index.data<std::int32_t>();
  const Tensor x = argmax_rows_of(V);
  EXPECT_EQ(x.data<float>()[V + i[1]], -6);
  for (std::int32_t v = 0; v < i[1]; ++v) EXPECT_LT(x.data<float>()[V + v], -6);
  EXPECT_EQ(i[2], 0);
  EXPECT_EQ(i[3], 999);
  EXPECT_EQ(i[4] % 3, 1);
  EXPECT_EQ(i[5], V / 2);
  EXPECT_EQ(i[6], 1);
  EXPECT_EQ(i[7], 0);
}

TEST(MarkCorrect, TheFirstOfEquallyLikelyShardsCounts) {
  TestExec exec(2);
  // Rows: the first shard is larger, the second is, both are alike.
  const float largest[2][3] = {{2, 1, 1}, {1, 2, 1}};
  Tensor parts({2, 3, kCrossEntropyPart}), likeliest({2, 3}, DType::i32);
  for (int s = 0; s < 2; ++s) {
    for (int r = 0; r < 3; ++r) {
      parts.data<float>()[(s * 3 + r) * kCrossEntropyPart] = largest[s][r];
      likeliest.data<std::int32_t>()[s * 3 + r] = 10 * s + r;
    }
  }
  Tensor targets({3}, DType::i32), correct = poisoned_tensor({3}, DType::u8);
  for (const int right : {0, 1, 2, 3}) {
    const std::int32_t best[] = {0, 11, 2};
    for (int r = 0; r < 3; ++r) targets.data<std::int32_t>()[r] = best[r] + (r == right ? 1 : 0);
    mark_correct(exec, correct, likeliest, parts, targets);
    for (int r = 0; r < 3; ++r) EXPECT_EQ(correct.data<std::uint8_t>()[r], r == right ? 0 : 1);
  }
  EXPECT_THROW(mark_correct(exec, correct, likeliest, {}, targets), Error);
}

}  // namespace
}  // namespace mixspan::test
