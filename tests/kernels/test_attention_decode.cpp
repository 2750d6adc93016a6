// Attention of one query row against a cache, and the exponential that all of attention uses.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "kernels/attention.h"
#include "kernels/attention_tiles.h"
#include "tests/kernels/attention_cases.h"
#include "tests/support/close.h"

namespace mixspan::test {
namespace {

class AttentionDecode : public testing::TestWithParam<Isa> {};
INSTANTIATE_TEST_SUITE_P(Isas, AttentionDecode, testing::ValuesIn(runnable_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

// A query that reads the last W of S rows is the last row of a sliding span, whatever the order in
// which a ring buffer holds the rows.
TEST_P(AttentionDecode, EqualsTheLastRowOfTheOracleInAnyRingOrder) {
  for (const std::int64_t H : {8, 13, 40, 64, 128}) {
    const std::int64_t B = 2, S = 67, N = 4, K = 2, W = 41, turn = 29;
    AttentionTensors t({B, 1, S, N, K, H});
    const AttentionRule rule{SlidingSpan{W}, 0.3f, {}, S - 1};
    Tensor want(t.q.shape(), DType::f64), lse({B, N, 1}, DType::f64);
    oracle::attention_forward(want, lse, t.q, t.k, t.v, rule);
    Tensor k(t.k.shape()), v(t.v.shape()), visible({S}, DType::u8);
    for (std::int64_t s = 0; s < S; ++s) {
      const std::int64_t place = (s + turn) % S;
      const bool seen = s >= S - W;
      visible.data<std::uint8_t>()[place] = seen;
      for (std::int64_t b = 0; b < B; ++b) {
        for (std::int64_t i = 0; i < K * H; ++i) {
          const std::int64_t from = (b * S + s) * K * H + i, to = (b * S + place) * K * H + i;
          // What is not visible may hold anything.
          k.data<float>()[to] = seen ? t.k.data<float>()[from] : std::nanf("");
          v.data<float>()[to] = seen ? t.v.data<float>()[from] : std::nanf("");
        }
      }
    }
    Tensor first;
    for (const int threads : {1, 3}) {
      TestExec test(threads);
      const Exec ex = with_isa(test, GetParam());
      Tensor o = poisoned_tensor({B, N, H});
      attention_decode(ex, o, t.q.view().reshape({B, N, H}), k, v, visible, 0.3f);
      EXPECT_EQ(differs(o.view().reshape({B, 1, N, H}), want, kAttentionForward), "") << "H=" << H;
      if (threads == 1) first = copy_of(o);
      EXPECT_EQ(bits_differ(o, first), "");
    }
  }
}

TEST_P(AttentionDecode, NeedsAVisibleRow) {
  TestExec test;
  AttentionTensors t({1, 1, 8, 1, 1, 16});
  Tensor visible({8}, DType::u8);
  EXPECT_THROW(attention_decode(test.exec(), t.o.view().reshape({1, 1, 16}),
                                t.q.view().reshape({1, 1, 16}), t.k, t.v, visible, 1.0f),
               Error);
}

// Units in the last place between two positive normal numbers.
std::int64_t ulps_between(float a, float b) {
  return std::abs(static_cast<std::int64_t>(std::bit_cast<std::int32_t>(a)) -
                  std::bit_cast<std::int32_t>(b));
}

TEST_P(AttentionDecode, TheExponentialIsWithinTwoUnitsInTheLastPlace) {
  const attention::TileKernels& kernels = attention::tile_kernels(GetParam(), Precision::fp32);
  constexpr std::int64_t kCount = 1 << 18;
  std::vector<float> x(kCount), y(kCount);
  for (std::int64_t i = 0; i < kCount; ++i) {
    x[static_cast<std::size_t>(i)] = -126.0f + 253.0f * static_cast<float>(i) / kCount;
  }
  kernels.exp2(y.data(), x.data(), kCount);
  std::int64_t worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, ulps_between(y[i], static_cast<float>(std::exp2(double{x[i]}))));
  }
  EXPECT_LE(worst, 2);
}

TEST_P(AttentionDecode, TheExponentialIsZeroBelowTheNormalNumbersAndKeepsNaN) {
  const attention::TileKernels& kernels = attention::tile_kernels(GetParam(), Precision::fp32);
  std::vector<float> x(16, -127.0f), y(16, 1.0f);
  x[1] = -INFINITY, x[2] = -3e38f, x[3] = -126.5f, x[4] = 0.0f, x[5] = NAN, x[6] = -1e9f;
  kernels.exp2(y.data(), x.data(), 16);
  EXPECT_EQ(y[4], 1.0f);
  EXPECT_TRUE(std::isnan(y[5]));
  y[4] = y[5] = 0.0f;
  EXPECT_EQ(std::accumulate(y.begin(), y.end(), 0.0f), 0.0f);
}

}  // namespace
}  // namespace mixspan::test
