// Attention on the tensor cores of sm_80 against the oracle, by the error of a plain bf16
// attention.
#include <cmath>
#include <limits>

#include "kernels/cuda/attention_choice.h"
#include "kernels/tile_ranges.h"
#include "tests/cuda/attention_on_device.h"
#include "tests/support/close.h"

namespace mixspan::test {
namespace {

class AttentionMma : public AttentionDeviceTest {
 protected:
  Exec mma() const {
    Exec ex = exec();
    ex.attention = AttentionKernel::mma;
    return ex;
  }
  AttentionOutputs run(const AttentionInputs& in) const {
    return run_on_device(mma(), in, DType::bf16);
  }
};

AttentionInputs inputs(const AttentionSize& size, const AnySpan& span) {
  AttentionInputs in(size, span, DType::bf16);
  in.scale = 1.0f / std::sqrt(static_cast<float>(size.H));
  return in;
}

// Lengths around the tiles of 64 and 128 and the warps' 32 and 16 rows; windows around T.
TEST_F(AttentionMma, EqualsTheOracleForEverySpanAndLengthSlow) {
  for (const std::int64_t T : {1, 2, 17, 63, 64, 65, 127, 128, 129, 211}) {
    for (const AnySpan& span : awkward_spans(T)) {
      const AttentionSize size{1, T, T, 1, 1, 32};
      SCOPED_TRACE(size.str() + " " + span.str());
      const AttentionInputs in = inputs(size, span);
      EXPECT_EQ(bf16_differs(run(in), in), "");
    }
  }
}

TEST_F(AttentionMma, EqualsTheOracleAroundTheWindow) {
  for (const std::int64_t W : {64, 100, 128}) {
    for (const std::int64_t T : {W - 1, W, W + 1, 2 * W + 67}) {
      for (const AnySpan& span :
           {AnySpan(SlidingSpan{W}), AnySpan(BlockSpan{W}), AnySpan(BlockSpan{W, 1})}) {
        const AttentionSize size{1, T, T, 1, 1, 32};
        SCOPED_TRACE(size.str() + " " + span.str());
        const AttentionInputs in = inputs(size, span);
        EXPECT_EQ(bf16_differs(run(in), in), "");
      }
    }
  }
}

TEST_F(AttentionMma, EqualsTheOracleForEveryHeadSizeAndGroupSlow) {
  for (const auto& [H, shared_bytes] : cuda::kMmaHeads) {
    for (const auto& [N, K] : {std::pair{2, 2}, std::pair{3, 1}, std::pair{4, 2}}) {
      for (const AnySpan& span :
           {AnySpan(FullSpan{}), AnySpan(SlidingSpan{90}), AnySpan(BlockSpan{50, 1})}) {
        const AttentionSize size{1, 197, 197, N, K, H};
        SCOPED_TRACE(size.str() + " " + span.str());
        const AttentionInputs in = inputs(size, span);
        EXPECT_EQ(bf16_differs(run(in), in), "");
      }
    }
  }
}

TEST_F(AttentionMma, EqualsTheOracleWithinDocuments) {
  for (const std::int64_t T : {65, 150, 330}) {
    for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{70}),
                                AnySpan(BlockSpan{64}), AnySpan(BlockSpan{50, 1})}) {
      const AttentionSize size{2, T, T, 2, 1, 32};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionInputs in = inputs(size, span);
      in.start = documents(2, T, {40, 1, 90, 17});
      EXPECT_EQ(bf16_differs(run(in), in), "");
    }
  }
}

// Keys that end before the queries begin, begin with them, or go on after them; one row, one key;
// rows that read no key and keys that no row reads.
TEST_F(AttentionMma, EqualsTheOracleOverRectangles) {
  constexpr std::pair<Range, Range> rectangles[] = {
      {{130, 260}, {0, 130}},   {{130, 260}, {65, 130}}, {{128, 192}, {64, 128}},
      {{67, 130}, {3, 66}},     {{200, 201}, {0, 260}},  {{200, 201}, {10, 11}},
      {{100, 163}, {100, 260}}, {{70, 75}, {0, 200}},    {{5, 260}, {4, 9}},
      {{64, 260}, {0, 64}},     {{250, 260}, {0, 60}},
  };
  for (const AnySpan& span :
       {AnySpan(FullSpan{}), AnySpan(SlidingSpan{64}), AnySpan(SlidingSpan{7}),
        AnySpan(BlockSpan{64}), AnySpan(BlockSpan{50, 1})}) {
    for (const auto& [queries, keys] : rectangles) {
      SCOPED_TRACE(fmt::format("{} queries [{}, {}) keys [{}, {})", span.str(), queries.begin,
                               queries.end, keys.begin, keys.end));
      AttentionInputs in = inputs({1, queries.size(), keys.size(), 2, 1, 32}, span);
      in.first_query = queries.begin;
      in.first_key = keys.begin;
      EXPECT_EQ(bf16_differs(run(in), in), "");
    }
  }
}

TEST_F(AttentionMma, RowsWithoutKeysAndKeysWithoutRowsGetExactZeros) {
  AttentionInputs in = inputs({1, 100, 100, 1, 1, 64}, SlidingSpan{20});
  in.first_query = 100;  // row r reads keys 81 + r .. 99
  const AttentionOutputs out = run(in);
  const auto rows = [](const Tensor& x, Range r) { return x.view().slice(1, r.begin, r.end); };
  const Tensor zeros({1, 81, 1, 64});
  EXPECT_EQ(bits_differ(rows(out.o, {19, 100}), zeros), "");
  EXPECT_EQ(bits_differ(rows(out.dq, {19, 100}), zeros), "");
  EXPECT_EQ(bits_differ(rows(out.dk, {0, 81}), zeros), "");
  EXPECT_EQ(bits_differ(rows(out.dv, {0, 81}), zeros), "");
  for (int r = 0; r < 100; ++r) EXPECT_EQ(std::isinf(out.lse.data<float>()[r]), r >= 19) << r;
}

TEST_F(AttentionMma, TheSameBitsInEveryOrderOfThreadsAndBlocksSlow) {
  for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{70})}) {
    AttentionInputs in = inputs({2, 150, 150, 4, 2, 64}, span);
    in.start = documents(2, 150, {90, 40});
    const AttentionOutputs first = run(in);
    in_every_order([&] { EXPECT_EQ(outputs_bits_differ(run(in), first), "") << span.str(); });
    for (int i = 0; i < (emulated() ? 1 : 50); ++i) {
      ASSERT_EQ(outputs_bits_differ(run(in), first), "") << "run " << i;
    }
  }
}

// Rows [begin, end) of dim 1 become `value`.
void fill_rows(Tensor& x, std::int64_t begin, std::int64_t end, float value) {
  const std::int64_t row = x.size() / x.shape()[1];
  std::fill(x.data<float>() + begin * row, x.data<float>() + end * row, value);
}

// Huge but finite within partly masked tiles, NaN in tiles that no row of the block reads.
TEST_F(AttentionMma, KeysOutsideASpanChangeNoBit) {
  const std::int64_t T = 320;
  for (const AnySpan& span :
       {AnySpan(SlidingSpan{70}), AnySpan(BlockSpan{50}), AnySpan(BlockSpan{50, 1})}) {
    const AttentionInputs before = inputs({1, T, T, 1, 1, 32}, span);
    const AttentionOutputs want = run(before);
    for (const std::int64_t i : {100, 149, 150, 255, 319}) {
      AttentionInputs in = inputs({1, T, T, 1, 1, 32}, span);
      // The tile of 128 rows around query i reads keys from its first row's reach to its last row.
      const std::int64_t first = i / 128 * 128, last = std::min(first + 128, T) - 1;
      const std::int64_t nan_before = span.lo(first) / 64 * 64, nan_from = (last / 64 + 1) * 64;
      const float huge = static_cast<float>(bf16(3e37f));
      const float nan = std::numeric_limits<float>::quiet_NaN();
      for (Tensor* x : {&in.k, &in.v}) {
        fill_rows(*x, 0, span.lo(i), huge);
        fill_rows(*x, i + 1, T, huge);
        fill_rows(*x, 0, std::min(nan_before, span.lo(i)), nan);
        fill_rows(*x, std::min(nan_from, T), T, nan);
      }
      const AttentionOutputs got = run(in);
      const auto row = [&](const Tensor& x) { return x.view().slice(1, i, i + 1); };
      EXPECT_EQ(bits_differ(row(got.o), row(want.o)), "") << span.str() << " query " << i;
      EXPECT_EQ(bits_differ(row(got.dq), row(want.dq)), "") << span.str() << " query " << i;
      EXPECT_EQ(bits_differ(got.lse.view().slice(2, i, i + 1), want.lse.view().slice(2, i, i + 1)),
                "");
    }
  }
}

TEST_F(AttentionMma, BearsLargeScoresEqualOnesAndOneKeyAboveAll) {
  for (const float scale : {0.0f, 0.18f, 30.0f}) {
    AttentionInputs in = inputs({1, 150, 150, 1, 1, 32}, SlidingSpan{100});
    in.scale = scale;
    EXPECT_EQ(bf16_differs(run(in), in), "") << scale;
  }
  // Scores that keep growing, so that every step's base is outgrown, and that fall.
  for (const bool rising : {true, false}) {
    AttentionInputs in = inputs({1, 200, 200, 1, 1, 32}, FullSpan{});
    for (std::int64_t s = 0; s < 200; ++s) {
      for (std::int64_t h = 0; h < 32; ++h) {
        const float size = static_cast<float>(rising ? s : 200 - s) / 10.0f;
        in.k.data<float>()[s * 32 + h] = static_cast<float>(bf16(size));
        in.q.data<float>()[s * 32 + h] = 1.0f;
      }
    }
    EXPECT_EQ(bf16_differs(run(in), in), "") << rising;
  }
}

TEST_F(AttentionMma, ReadsAndWritesViewsIntoAPackedTensor) {
  const std::int64_t B = 2, T = 100, N = 2, H = 64, C = N * H;
  const AttentionInputs in = inputs({B, T, T, N, N, H}, SlidingSpan{60});
  const AttentionOutputs want = run(in);
  const auto part = [&](const auto& x, std::int64_t i) {
    return x.slice(2, i * C, (i + 1) * C).split(2, N, H);
  };
  Tensor packed({B, T, 3 * C}, DType::bf16);
  const Tensor* parts[] = {&in.q, &in.k, &in.v};
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t i = 0; i < 3 * C; ++i) {
      packed.data<bf16>()[row * 3 * C + i] = bf16(parts[i / C]->data<float>()[row * C + i % C]);
    }
  }
  const Tensor qkv = upload(packed), d_o = upload(as_dtype(DType::bf16, in.do_));
  Tensor dqkv = poisoned({B, T, 3 * C}, DType::bf16), o = poisoned({B, T, N, H}, DType::bf16),
         lse = poisoned({B, N, T});
  const ConstView all = qkv.view();
  attention_forward(mma(), o, lse, part(all, 0), part(all, 1), part(all, 2), in.rule());
  attention_backward(mma(), part(dqkv.view(), 0), part(dqkv.view(), 1), part(dqkv.view(), 2), d_o,
                     part(all, 0), part(all, 1), part(all, 2), o, lse, in.rule());
  const Tensor got = as_dtype(DType::f32, download(dqkv));
  EXPECT_EQ(bits_differ(as_dtype(DType::f32, download(o)), want.o), "");
  EXPECT_EQ(bits_differ(part(got.view(), 0), want.dq), "");
  EXPECT_EQ(bits_differ(part(got.view(), 1), want.dk), "");
  EXPECT_EQ(bits_differ(part(got.view(), 2), want.dv), "");
}

// What a slip at one of the four edges, or of an offset, would give: the rule must notice it.
TEST_F(AttentionMma, SlipsAtTheEdgesOfASpanAreNoticed) {
  const AttentionSize size{1, 80, 90, 1, 1, 32};
  for (const AnySpan& span :
       {AnySpan(SlidingSpan{40}), AnySpan(BlockSpan{40}), AnySpan(BlockSpan{20, 1})}) {
    AttentionInputs right = inputs(size, span);
    right.first_query = 70;
    right.first_key = 40;
    for (const auto& [query, key] : {std::pair{1, 0}, {-1, 0}, {0, 1}, {0, -1}}) {
      AttentionInputs wrong = inputs(size, span);
      wrong.first_query = 70 + query;
      wrong.first_key = 40 + key;
      const std::string found = bf16_differs(run(wrong), right);
      for (const char* name : {"o:", "lse:", "dq:", "dk:", "dv:"}) {
        EXPECT_NE(found.find(name), std::string::npos) << span.str() << " " << name;
      }
    }
  }
}

TEST_F(AttentionMma, MayHaveNoKeysOrNoQueries) {
  for (const auto& [Tq, Tk] : {std::pair{70, 0}, std::pair{0, 70}}) {
    AttentionInputs in = inputs({1, Tq, Tk, 2, 1, 32}, FullSpan{});
    in.first_query = in.first_key = 9;
    const AttentionOutputs out = run(in);
    for (const Tensor* x : {&out.o, &out.dq, &out.dk, &out.dv}) {
      EXPECT_EQ(bits_differ(*x, Tensor(x->shape())), "") << Tq << " " << Tk;
    }
  }
}

}  // namespace
}  // namespace mixspan::test
