// Attention with the warpgroup products of sm_90a against the oracle, by the error of a plain bf16
// attention.
#include <cmath>
#include <limits>
#include <ostream>

#include "kernels/cuda/attention_choice.h"
#include "kernels/tile_ranges.h"
#include "tests/cuda/attention_on_device.h"
#include "tests/cuda/beside.h"
#include "tests/support/close.h"

namespace mixspan {

/// In the names of tests.
static void PrintTo(AttentionBackward way, std::ostream* out) { *out << cuda::name_of(way); }

namespace test {
namespace {

/// By both ways to go backward. Blocks of the fused one wait for each other.
class AttentionWgmma : public AttentionDeviceTest,
                       public ::testing::WithParamInterface<AttentionBackward> {
 protected:
  void SetUp() override {
    AttentionDeviceTest::SetUp();
    require_capability(9, 0);
    if (GetParam() == AttentionBackward::fused) run_blocks_at_once(4);
  }
  void TearDown() override {
    run_blocks_at_once(1);
    AttentionDeviceTest::TearDown();
  }
  Exec wgmma() const {
    Exec ex = exec();
    ex.attention = AttentionKernel::wgmma;
    ex.attention_backward = GetParam();
    return ex;
  }
  AttentionOutputs run(const AttentionInputs& in) const {
    return run_on_device(wgmma(), in, DType::bf16);
  }
  /// Whatever runs beside the threads comes late, or at once.
  void expect_oracle(const AttentionInputs& in) const {
    late_and_early([&] { EXPECT_EQ(bf16_differs(run(in), in), ""); });
  }
};

AttentionInputs inputs(const AttentionSize& size, const AnySpan& span) {
  AttentionInputs in(size, span, DType::bf16);
  in.scale = 1.0f / std::sqrt(static_cast<float>(size.H));
  return in;
}

// Two suites, so that one may hang alone (scripts/gpu_check).
INSTANTIATE_TEST_SUITE_P(Split, AttentionWgmma, ::testing::Values(AttentionBackward::split));
INSTANTIATE_TEST_SUITE_P(Fused, AttentionWgmma, ::testing::Values(AttentionBackward::fused));

/// Long spans have one forward kernel, short ones another.
const AnySpan kLongAndShort[] = {FullSpan{}, SlidingSpan{70}, BlockSpan{64}, BlockSpan{50, 1}};

// Lengths around the blocks' 128 rows, the warpgroups' 64 and the tiles of 64 and 128 keys.
TEST_P(AttentionWgmma, EqualsTheOracleForEveryLength) {
  for (const std::int64_t T : {1, 2, 63, 64, 65, 127, 128, 129, 193, 257}) {
    for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{65})}) {
      const AttentionSize size{1, T, T, 1, 1, 64};
      SCOPED_TRACE(size.str() + " " + span.str());
      expect_oracle(inputs(size, span));
    }
  }
}

TEST_P(AttentionWgmma, EqualsTheOracleForEverySpan) {
  for (const AnySpan& span : awkward_spans(211)) {
    const AttentionSize size{1, 211, 211, 1, 1, 64};
    SCOPED_TRACE(size.str() + " " + span.str());
    expect_oracle(inputs(size, span));
  }
}

// More items than blocks, so that each block does several: B x N heads of three tiles.
TEST_P(AttentionWgmma, EqualsTheOracleForEveryHeadSizeAndGroupSlow) {
  for (const std::int64_t H : {64, 128}) {
    for (const auto& [N, K] : {std::pair{2, 2}, std::pair{3, 1}, std::pair{4, 2}}) {
      for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{90})}) {
        const AttentionSize size{N == 2 ? 2 : 1, 260, 260, N, K, H};
        SCOPED_TRACE(size.str() + " " + span.str());
        expect_oracle(inputs(size, span));
      }
    }
  }
}

TEST_P(AttentionWgmma, EqualsTheOracleWithinDocumentsSlow) {
  for (const AnySpan& span : kLongAndShort) {
    const AttentionSize size{2, 330, 330, 2, 1, 64};
    SCOPED_TRACE(size.str() + " " + span.str());
    AttentionInputs in = inputs(size, span);
    in.start = documents(2, 330, {40, 1, 150, 17});
    expect_oracle(in);
  }
}

// Keys that end before the queries begin, begin with them, or go on after them; one row, one key;
// rows that read no key and keys that no row reads.
TEST_P(AttentionWgmma, EqualsTheOracleOverRectanglesSlow) {
  constexpr std::pair<Range, Range> rectangles[] = {
      {{130, 260}, {0, 130}}, {{130, 260}, {65, 130}}, {{67, 130}, {3, 66}},
      {{200, 201}, {0, 260}}, {{200, 201}, {10, 11}},  {{100, 163}, {100, 260}},
      {{5, 260}, {4, 9}},     {{64, 260}, {0, 64}},
  };
  for (const AnySpan& span : kLongAndShort) {
    for (const auto& [queries, keys] : rectangles) {
      SCOPED_TRACE(fmt::format("{} queries [{}, {}) keys [{}, {})", span.str(), queries.begin,
                               queries.end, keys.begin, keys.end));
      AttentionInputs in = inputs({1, queries.size(), keys.size(), 2, 1, 64}, span);
      in.first_query = queries.begin;
      in.first_key = keys.begin;
      expect_oracle(in);
    }
  }
}

TEST_P(AttentionWgmma, RowsWithoutKeysAndKeysWithoutRowsGetExactZeros) {
  AttentionInputs in = inputs({1, 200, 200, 1, 1, 64}, SlidingSpan{20});
  in.first_query = 200;  // row r reads keys 181 + r .. 199; a tile of rows reads none
  const AttentionOutputs out = run(in);
  const auto rows = [](const Tensor& x, Range r) { return x.view().slice(1, r.begin, r.end); };
  const Tensor zeros({1, 181, 1, 64});
  EXPECT_EQ(bits_differ(rows(out.o, {19, 200}), zeros), "");
  EXPECT_EQ(bits_differ(rows(out.dq, {19, 200}), zeros), "");
  EXPECT_EQ(bits_differ(rows(out.dk, {0, 181}), zeros), "");
  EXPECT_EQ(bits_differ(rows(out.dv, {0, 181}), zeros), "");
  for (int r = 0; r < 200; ++r) EXPECT_EQ(std::isinf(out.lse.data<float>()[r]), r >= 19) << r;
}

TEST_P(AttentionWgmma, TheSameBitsInEveryOrderOfThreadsAndBlocksSlow) {
  const auto expect_same = [&](const AttentionInputs& in) {
    SCOPED_TRACE(in.span.str());
    const AttentionOutputs first = run(in);
    late_and_early(
        [&] { in_every_order([&] { EXPECT_EQ(outputs_bits_differ(run(in), first), ""); }); });
    for (int i = 0; i < (emulated() ? 0 : 50); ++i) {
      ASSERT_EQ(outputs_bits_differ(run(in), first), "") << "run " << i;
    }
  };
  for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{70})}) {
    AttentionInputs in = inputs({2, 150, 150, 4, 2, 64}, span);
    in.start = documents(2, 150, {90, 40});
    expect_same(in);
  }
  // Four tiles of keys have a share in the last rows' dq.
  expect_same(inputs({1, 390, 390, 1, 1, 128}, FullSpan{}));
}

void fill_rows(Tensor& x, std::int64_t begin, std::int64_t end, float value) {
  const std::int64_t row = x.size() / x.shape()[1];
  std::fill(x.data<float>() + begin * row, x.data<float>() + end * row, value);
}

// Huge but finite in the keys that row 310 does not read, its own tiles' included, and NaN in tiles
// that its block of rows does not need.
TEST_P(AttentionWgmma, KeysOutsideASpanChangeNoBit) {
  const std::int64_t tile = GetParam() == AttentionBackward::split ? 64 : 128;
  for (const AnySpan& span : {AnySpan(SlidingSpan{30}), AnySpan(BlockSpan{50})}) {
    AttentionInputs in = inputs({1, 448, 448, 1, 1, 64}, span);
    const AttentionOutputs want = run(in);
    const float huge = static_cast<float>(bf16(3e38f));
    for (Tensor* x : {&in.k, &in.v}) {
      fill_rows(*x, 0, span.lo(310), huge);
      fill_rows(*x, 311, 448, huge);
      fill_rows(*x, 0, 256 - tile, std::numeric_limits<float>::quiet_NaN());
      fill_rows(*x, 384, 448, std::numeric_limits<float>::quiet_NaN());
    }
    const AttentionOutputs got = run(in);
    const auto row = [](const Tensor& x) { return x.view().slice(1, 310, 311); };
    EXPECT_EQ(bits_differ(row(got.o), row(want.o)), "") << span.str();
    EXPECT_EQ(bits_differ(row(got.dq), row(want.dq)), "") << span.str();
  }
}

// As above for a key: rows of queries that do not read key 150 have gradients of o so large that
// their products with its large value are infinite; nobody looks at them.
TEST_P(AttentionWgmma, RowsOutsideAKeysReadersChangeNoBit) {
  for (const AnySpan& span : {AnySpan(SlidingSpan{30}), AnySpan(BlockSpan{50})}) {
    AttentionInputs in = inputs({1, 320, 320, 1, 1, 64}, span);
    fill_rows(in.v, 150, 151, 1e10f);
    const AttentionOutputs want = run(in);
    const std::int64_t end = span.str() == "sliding:30" ? 180 : 200;
    fill_rows(in.do_, 0, 150, 1e30f);
    fill_rows(in.do_, end, 320, 1e30f);
    const AttentionOutputs got = run(in);
    const auto row = [](const Tensor& x) { return x.view().slice(1, 150, 151); };
    EXPECT_EQ(bits_differ(row(got.dk), row(want.dk)), "") << span.str();
    EXPECT_EQ(bits_differ(row(got.dv), row(want.dv)), "") << span.str();
  }
}

TEST_P(AttentionWgmma, ViewsOfAPackedQkvAreReadAndWrittenWhereTheyLie) {
  const AttentionInputs in = inputs({2, 150, 150, 2, 1, 64}, SlidingSpan{70});
  const AttentionOutputs apart = run(in);
  // (B, T, N + 2 K, H): q, k and v side by side, and their gradients too.
  Tensor packed({2, 150, 4, 64});
  const auto put = [&](const Tensor& x, std::int64_t head) {
    const std::int64_t row = x.shape()[2] * 64;
    for (std::int64_t r = 0; r < 300; ++r) {
      std::copy_n(x.data<float>() + r * row, row, packed.data<float>() + (r * 4 + head) * 64);
    }
  };
  put(in.q, 0), put(in.k, 2), put(in.v, 3);
  const Tensor qkv = upload(as_dtype(DType::bf16, packed)),
               d_o = upload(as_dtype(DType::bf16, in.do_));
  Tensor gradients = poisoned(packed.shape(), DType::bf16);
  Tensor o = poisoned(in.q.shape(), DType::bf16), lse = poisoned({2, 2, 150});
  const auto heads = [](Tensor& x, std::int64_t begin, std::int64_t end) {
    return x.view().slice(2, begin, end);
  };
  const auto given = [&](std::int64_t begin, std::int64_t end) {
    return ConstView(qkv.view()).slice(2, begin, end);
  };
  attention_forward(wgmma(), o, lse, given(0, 2), given(2, 3), given(3, 4), in.rule());
  attention_backward(wgmma(), heads(gradients, 0, 2), heads(gradients, 2, 3),
                     heads(gradients, 3, 4), d_o, given(0, 2), given(2, 3), given(3, 4), o, lse,
                     in.rule());
  Tensor all = as_dtype(DType::f32, download(gradients));
  EXPECT_EQ(bits_differ(as_dtype(DType::f32, download(o)), apart.o), "");
  EXPECT_EQ(bits_differ(heads(all, 0, 2), apart.dq), "");
  EXPECT_EQ(bits_differ(heads(all, 2, 3), apart.dk), "");
  EXPECT_EQ(bits_differ(heads(all, 3, 4), apart.dv), "");
}

TEST(AttentionWgmmaChoice, ItTakesWhatItCanDoAndRefusesTheRest) {
  using cuda::AttentionNeeds;
  const AttentionNeeds can{.dtype = DType::bf16,
                           .head_size = 128,
                           .major = 9,
                           .minor = 0,
                           .shared_bytes = std::size_t{227} << 10};
  const auto automatic = [](const AttentionNeeds& needs) {
    return cuda::chosen_attention(AttentionKernel::automatic, needs);
  };
  EXPECT_EQ(automatic(can), AttentionKernel::wgmma);
  std::vector<AttentionNeeds> cannot(5, can);
  cannot[0].head_size = 96;
  cannot[1].major = 10;  // code for sm_90a runs on no later device
  cannot[2].major = 8;
  cannot[3].aligned = false;
  cannot[4].scale = -0.5f;
  for (const AttentionNeeds& needs : cannot) {
    EXPECT_NE(automatic(needs), AttentionKernel::wgmma);
    EXPECT_THROW(cuda::chosen_attention(AttentionKernel::wgmma, needs), InputError);
  }
}

TEST(AttentionWgmmaChoice, OnlyItGoesBackwardInOneKernel) {
  using enum AttentionKernel;
  cuda::require_backward(AttentionBackward::fused, wgmma);
  cuda::require_backward(AttentionBackward::split, naive);
  EXPECT_EQ(refusal([] { cuda::require_backward(AttentionBackward::fused, mma); }),
            "kernels.attention_backward = \"fused\": only the attention kernel wgmma has it, and "
            "here mma is taken; wanted \"auto\" or \"split\"");
}

}  // namespace
}  // namespace test
}  // namespace mixspan
