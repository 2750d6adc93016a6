// Attention over a split sequence is that of the whole sequence on one rank, by every transport,
// and moves exactly the bytes that the formulas say.
#include <gtest/gtest.h>

#include "layers/context_attention.h"
#include "layers/model_config.h"
#include "tests/kernels/attention_against_oracle.h"
#include "tests/layers/split_attention.h"

namespace mixspan {
namespace {

using namespace test;

constexpr Transport kTransports[] = {Transport::halo, Transport::ring, Transport::all_to_all,
                                     Transport::gather};
constexpr LayoutKind kLayouts[] = {LayoutKind::contiguous, LayoutKind::zigzag};

// Lengths beside those of a chunk, and blocks that begin within one.
std::vector<AnySpan> spans_beside(std::int64_t chunk) {
  return {FullSpan{},
          SlidingSpan{2},
          SlidingSpan{chunk - 3},
          SlidingSpan{chunk},
          SlidingSpan{chunk + 1},
          SlidingSpan{chunk + 2},
          SlidingSpan{2 * chunk + 5},
          BlockSpan{chunk - 1},
          BlockSpan{chunk},
          BlockSpan{chunk - 2, 1},
          BlockSpan{2 * chunk + 1, 1}};
}

// One attention on one rank.
struct OneRank {
  OneRank(std::int64_t T, std::int64_t heads, const AnySpan& span_, bool packed)
      : span(span_),
        start(packed ? documents(2, T, {T / 3 + 1, 1, T / 7, 5, T / 2}) : Tensor()),
        t({2, T, T, heads, heads, 8}) {
    TestExec ex(1);
    run(ex, t, {span, scale_for(8), document_start()});
  }
  ConstView document_start() const { return start; }
  std::string differs_from(const SplitResult& r) const {
    return differs(r.o, t.o, kAttentionForward) + differs(r.dq, t.dq, kAttentionBackward) +
           differs(r.dk, t.dk, kAttentionBackward) + differs(r.dv, t.dv, kAttentionBackward);
  }

  AnySpan span;
  Tensor start;
  AttentionTensors t;
};

std::string text(const ExchangeBytes& b) { return fmt::format("{} + {}", b.forward, b.backward); }

// "" when every rank sent what the formula says.
std::string bytes_differ(const SplitResult& r, const SequenceLayout& layout,
                         const SplitAttention& a, const RowSize& row) {
  const HaloPlan plan(a.span, layout, a.document_start);
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    const ExchangeBytes want = exchange_bytes(a.transport, plan, layout, rank, row);
    const ExchangeBytes& got = r.moved[static_cast<std::size_t>(rank)];
    if (got != want) return fmt::format("rank {}: {} and not {}", rank, text(got), text(want));
  }
  return "";
}

std::string all_differ(const OneRank& want, const SequenceLayout& layout, Transport transport) {
  const SplitAttention a{want.span, transport, want.document_start()};
  const SplitResult got = run_split(want.t, layout, a);
  const Shape& s = want.t.q.shape();
  return want.differs_from(got) + bytes_differ(got, layout, a, {s[0], s[2], s[3]});
}

void expect_like_one_rank(const OneRank& want, std::int64_t T, int cp) {
  for (const LayoutKind kind : kLayouts) {
    const SequenceLayout layout(kind, T, cp);
    std::vector<Transport> transports(std::begin(kTransports), std::end(kTransports));
    if (HaloPlan(want.span, layout, want.document_start()).moves_nothing()) {
      transports.push_back(Transport::local);
    }
    for (const Transport transport : transports) {
      EXPECT_EQ(all_differ(want, layout, transport), "")
          << fmt::format("{} {} {} T={}{}", str(transport), str(kind), want.span.str(), T,
                         want.document_start().empty() ? "" : " packed");
    }
  }
}

class ContextAttentionOn : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, ContextAttentionOn, testing::Values(1, 2, 3, 4, 5));

// 103 divides by none of the numbers of chunks, 60 by all but one.
TEST_P(ContextAttentionOn, IsThatOfOneRankAndMovesWhatTheFormulasSay) {
  const int cp = GetParam();
  const std::int64_t heads = cp <= 3 ? 6 : cp;  // which cp divides
  for (const std::int64_t T : {103, 60}) {
    // A chunk of the zigzag; half of one that is contiguous.
    for (const AnySpan& span : spans_beside(T / (2 * cp))) {
      for (const bool packed : {false, true}) {
        expect_like_one_rank(OneRank(T, heads, span, packed), T, cp);
      }
    }
    for (const AnySpan& span : spans_beside(T / cp)) {
      expect_like_one_rank(OneRank(T, heads, span, true), T, cp);
    }
  }
}

TEST(ContextAttention, HeadsNeedNotDivideByTheRanks) {
  for (const std::int64_t heads : {2, 3, 7}) {
    const OneRank want(61, heads, SlidingSpan{20}, true);
    for (const LayoutKind kind : kLayouts) {
      const SplitAttention a{want.span, Transport::all_to_all, want.document_start()};
      EXPECT_EQ(want.differs_from(run_split(want.t, SequenceLayout(kind, 61, 4), a)), "")
          << str(kind) << " " << heads;
    }
  }
}

std::vector<ExchangeBytes> moved(LayoutKind kind, std::int64_t T, Transport transport) {
  const AttentionTensors t({1, T, T, 4, 4, 8});
  return run_split(t, SequenceLayout(kind, T, 4), {SlidingSpan{9}, transport, {}}).moved;
}

TEST(ContextAttention, HalosDoNotGrowWithTheSequence) {
  for (const LayoutKind kind : kLayouts) {
    EXPECT_EQ(moved(kind, 240, Transport::halo), moved(kind, 120, Transport::halo)) << str(kind);
    EXPECT_EQ(moved(kind, 240, Transport::ring)[1].total(),
              2 * moved(kind, 120, Transport::ring)[1].total());
  }
}

// A model's layers one after the other on 8 ranks; the bytes of the rank that sends most.
std::int64_t bytes_of_layers(const std::vector<AnySpan>& spans, LayoutKind kind, std::int64_t T,
                             Transport full, Transport sliding) {
  const AttentionTensors t({1, T, T, 8, 8, 4});
  const SequenceLayout layout(kind, T, 8);
  std::vector<std::int64_t> sent(8);
  for (const AnySpan& span : spans) {
    const SplitResult r = run_split(t, layout, {span, span.is_full() ? full : sliding, {}});
    for (std::size_t rank = 0; rank < sent.size(); ++rank) sent[rank] += r.moved[rank].total();
  }
  return *std::max_element(sent.begin(), sent.end());
}

// GPT-Neo 1.3B with 4 full layers of 24 and sliding:256 at 32768 tokens, all lengths by 64.
TEST(ContextAttention, MixedSpansMoveAFifthOfWhatARingMoves) {
  ModelConfig model;
  model.layers = 24;
  model.context = 32768 / 64;
  model.span = "sliding:4";
  model.full_layers = "spaced:4";
  const std::vector<AnySpan> spans = layer_spans(model);
  ASSERT_EQ(std::count(spans.begin(), spans.end(), AnySpan(FullSpan{})), 4);
  for (const LayoutKind kind : kLayouts) {
    const auto bytes = [&](Transport full, Transport sliding) {
      return bytes_of_layers(spans, kind, model.context, full, sliding);
    };
    const std::int64_t mix = bytes(Transport::ring, Transport::halo);
    EXPECT_GT(mix, 0);
    EXPECT_LE(5 * mix, bytes(Transport::ring, Transport::ring)) << str(kind);
    EXPECT_LT(mix, bytes(Transport::ring, Transport::all_to_all)) << str(kind);
  }
}

}  // namespace
}  // namespace mixspan
