// Attention over sets of keys put together from attention over each.
#include "kernels/attention_merge.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/kernels/attention_text.h"

namespace mixspan::test {
namespace {

constexpr float kReadNothing = -std::numeric_limits<float>::infinity();

// Two results over different keys, (B, T, N, H).
struct Results {
  explicit Results(Shape s)
      : o(random_tensor(s, 1)),
        lse(random_tensor({s[0], s[2], s[1]}, 2)),
        part_o(random_tensor(s, 3)),
        part_lse(random_tensor(lse.shape(), 4)) {}
  Tensor o, lse, part_o, part_lse;
};

OracleOutputs merged_by_oracle(const Results& r) {
  OracleOutputs both(to_f64(r.o), to_f64(r.lse));
  oracle::attention_merge(both.o, both.lse, to_f64(r.part_o), to_f64(r.part_lse));
  return both;
}

TEST(AttentionMerge, EqualsTheOracleHoweverFarApartTheSumsAre) {
  TestExec test;
  for (const float gap : {0.0f, 1e-3f, 1.0f, 20.0f, 87.0f, 104.0f, 800.0f, 1e30f, 3e38f}) {
    for (const float sign : {-1.0f, 1.0f}) {
      Results r({2, 37, 3, 13});
      for (std::int64_t i = 0; i < r.lse.size(); ++i) r.part_lse.data<float>()[i] += sign * gap;
      const OracleOutputs want = merged_by_oracle(r);
      attention_merge(test, r.o, r.lse, r.part_o, r.part_lse);
      EXPECT_EQ(differs(r.o, want.o, kElementwise), "") << sign * gap;
      EXPECT_EQ(differs(r.lse, want.lse, kElementwise), "") << sign * gap;
    }
  }
}

TEST(AttentionMerge, TwiceTheSameIsTheSameWithTwiceTheSum) {
  TestExec test;
  Results r({1, 5, 2, 8});
  const Tensor o = copy_of(r.o);
  std::fill_n(r.lse.data<float>(), r.lse.size(), -3e38f);
  attention_merge(test, r.o, r.lse, o, copy_of(r.lse));
  EXPECT_EQ(bits_differ(r.o, o), "");
  std::fill_n(r.lse.data<float>(), r.lse.size(), 0.0f);
  attention_merge(test, r.o, r.lse, o, copy_of(r.lse));
  EXPECT_EQ(bits_differ(r.o, o), "");
  EXPECT_FLOAT_EQ(r.lse.data<float>()[7], std::log(2.0f));
}

TEST(AttentionMerge, ASideThatReadNothingLeavesTheOtherAsItIs) {
  TestExec test;
  for (const bool by_oracle : {false, true}) {
    Exec ex = test.exec();
    ex.oracle = by_oracle;
    Results r({2, 9, 2, 8});
    const Tensor o = copy_of(r.o), lse = copy_of(r.lse), nan = poisoned_tensor(o.shape());
    Tensor nothing(lse.shape());
    std::fill_n(nothing.data<float>(), nothing.size(), kReadNothing);
    attention_merge(ex, r.o, r.lse, nan, nothing);
    EXPECT_EQ(bits_differ(r.o, o), "");
    EXPECT_EQ(bits_differ(r.lse, lse), "");

    Tensor empty_o(o.shape()), empty_lse = copy_of(nothing);
    attention_merge(ex, empty_o, empty_lse, nan, nothing);
    EXPECT_EQ(bits_differ(empty_o, Tensor(o.shape())), "");
    EXPECT_EQ(bits_differ(empty_lse, nothing), "");

    Tensor into = copy_of(nan);
    attention_merge(ex, into, empty_lse, o, lse);
    EXPECT_EQ(bits_differ(into, o), "");
    EXPECT_EQ(bits_differ(empty_lse, lse), "");
  }
}

TEST(AttentionMerge, ANaNStaysOne) {
  TestExec test;
  Results r({1, 1, 1, 8});
  attention_merge(test, r.o, r.lse, r.part_o, poisoned_tensor({1, 1, 1}));
  EXPECT_TRUE(std::isnan(r.o.data<float>()[0]));
  EXPECT_TRUE(std::isnan(r.lse.data<float>()[0]));
}

// Positions [3, 12) of 20, the second of three packed tensors: what lies around them is not
// touched.
TEST(AttentionMerge, TouchesOnlyTheRowsOfStridedViews) {
  TestExec test;
  const std::int64_t B = 2, T = 9, N = 3, H = 8;
  Results r({B, T, N, H});
  Tensor packed_o = poisoned_tensor({B, 20, 3, N, H}), packed_lse = poisoned_tensor({B, N, 20});
  const Tensor other_o = copy_of(packed_o), other_lse = copy_of(packed_lse);
  const View o = packed_o.view().select(2, 1).slice(1, 3, 12);
  const View lse = packed_lse.view().slice(2, 3, 12);
  // From a row that has read nothing: the whole is then the part.
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t n = 0; n < N; ++n) {
      std::fill_n(lse.data<float>() + b * lse.stride(0) + n * lse.stride(1), T, kReadNothing);
    }
  }
  attention_merge(test, o, lse, r.o, r.lse);
  EXPECT_EQ(bits_differ(o, r.o), "");
  EXPECT_EQ(bits_differ(lse, r.lse), "");
  const OracleOutputs want = merged_by_oracle(r);
  attention_merge(test, o, lse, r.part_o, r.part_lse);
  EXPECT_EQ(differs(o, want.o, kElementwise), "");
  EXPECT_EQ(differs(lse, want.lse, kElementwise), "");
  for (const std::int64_t part : {0, 2}) {
    EXPECT_EQ(bits_differ(packed_o.view().select(2, part), other_o.view().select(2, part)), "");
  }
  for (const Range outside : {Range{0, 3}, Range{12, 20}}) {
    const auto rows = [&](const Tensor& x, int d) {
      return x.view().slice(d, outside.begin, outside.end);
    };
    EXPECT_EQ(bits_differ(rows(packed_o, 1), rows(other_o, 1)), "");
    EXPECT_EQ(bits_differ(rows(packed_lse, 2), rows(other_lse, 2)), "");
  }
}

TEST(AttentionMerge, GivesTheSameBitsForAnyNumberOfThreads) {
  const Shape shape{2, 700, 4, 64};  // several pieces
  TestExec one(1);
  Results want(shape);
  attention_merge(one, want.o, want.lse, want.part_o, want.part_lse);
  for (const int threads : {2, 4}) {
    TestExec test(threads);
    Results r(shape);
    attention_merge(test, r.o, r.lse, r.part_o, r.part_lse);
    EXPECT_EQ(bits_differ(r.o, want.o), "") << threads;
    EXPECT_EQ(bits_differ(r.lse, want.lse), "") << threads;
  }
}

TEST(AttentionMerge, RefusesAnLseThatDoesNotFit) {
  TestExec test;
  Results r({1, 4, 2, 8});
  EXPECT_THROW(attention_merge(test, r.o, Tensor({1, 4, 2}), r.part_o, r.part_lse), Error);
  EXPECT_THROW(attention_merge(test, r.o, r.lse, r.part_o, Tensor({1, 2, 3})), Error);
}

// The queries [130, 260) over each stretch of keys, in order or in the reverse order; of a stretch
// that begins after the first of them, those that it can concern.
void merge_stretches(const Exec& ex, const Text& text, Tensor& o, Tensor& lse, bool reverse) {
  const Range all{130, 260};
  for (std::size_t c = 1; c < std::size(kCuts); ++c) {
    const std::size_t at = reverse ? std::size(kCuts) - c : c;
    const Range keys{kCuts[at - 1], kCuts[at]};
    const Range queries{std::max(all.begin, keys.begin), all.end};
    const Part part = text.forward(ex, queries, keys);
    attention_merge(ex, o.view().slice(1, queries.begin - all.begin, all.size()),
                    lse.view().slice(2, queries.begin - all.begin, all.size()), part.o, part.lse);
  }
}

TEST(AttentionMerge, TheStretchesOfKeysMakeTheWhole) {
  TestExec test;
  for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{}, {70, 30, 110}}) {
    for (const AnySpan& span : awkward_spans(260)) {
      const Text text({2, 260, 260, 4, 2, 16}, span, lengths);
      for (const bool by_oracle : {false, true}) {
        for (const bool reverse : {false, true}) {
          Exec ex = test.exec();
          ex.oracle = by_oracle;
          Tensor o({2, 130, 4, 16}), lse({2, 4, 130});
          std::fill_n(lse.data<float>(), lse.size(), kReadNothing);
          merge_stretches(ex, text, o, lse, reverse);
          SCOPED_TRACE(fmt::format("{}, oracle: {}, reverse: {}", span.str(), by_oracle, reverse));
          EXPECT_EQ(differs(o, text.rows(text.all.o, {130, 260}), kAttentionForward), "");
          EXPECT_EQ(differs(lse, text.all.lse.view().slice(2, 130, 260), kAttentionForward), "");
        }
      }
    }
  }
}

}  // namespace
}  // namespace mixspan::test
