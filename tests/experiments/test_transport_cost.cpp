// Pairs against counting; seconds of each transport against examples worked by hand on a machine
// where a pair takes a second.
#include "experiments/cost/transport_cost.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

TEST(PairCount, IsWhatTheSpanAllows) {
  const std::int64_t T = 23;
  for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{1}), AnySpan(SlidingSpan{6}),
                              AnySpan(BlockSpan{5, 0}), AnySpan(BlockSpan{4, 1})}) {
    const PairCount pairs(span, T);
    EXPECT_EQ(pairs.between({0, T}, {0, T}), span.pairs(T));
    for (const Range queries : {Range{0, 7}, Range{5, 6}, Range{8, 23}, Range{3, 3}}) {
      for (const Range keys : {Range{0, 4}, Range{4, 9}, Range{2, 23}, Range{20, 23}}) {
        std::int64_t want = 0;
        for (std::int64_t i = queries.begin; i < queries.end; ++i) {
          for (std::int64_t j = keys.begin; j < keys.end; ++j) want += span.allows(i, j);
        }
        EXPECT_EQ(pairs.between(queries, keys), want)
            << span.str() << " " << queries.begin << " " << keys.begin;
      }
    }
  }
}

/// One head of size 1: a row of keys is 4 bytes, a pair is 4 FLOP and takes a second.
struct Hand {
  SequenceLayout layout;
  ExchangeSetting setting;

  Hand(LayoutKind kind, std::int64_t T, int ranks, double bytes_per_s, std::int64_t heads = 1)
      : layout(kind, T, ranks), setting{layout, {1, heads, 1, 4}, 1, false, {}} {
    setting.machine.attention_flops = 4;
    setting.machine.ranks_per_node = 4;
    setting.machine.inside = {0, bytes_per_s};
    setting.machine.between = {0, bytes_per_s / 10};
  }
  TransportCost cost(const AnySpan& span, Transport transport) const {
    for (const TransportCost& cost : transport_costs(span, setting)) {
      if (cost.transport == transport) return cost;
    }
    ADD_FAILURE() << str(transport) << " is not offered";
    return {};
  }
};

// Of 8 positions each of 2 ranks has 4: in zigzag 10 pairs with its own keys, 8 with the other's. A
// block of keys and values is 32 bytes.
TEST(TransportCost, OfARing) {
  const Hand fast(LayoutKind::zigzag, 8, 2, 4);  // 8 s a block
  const TransportCost hidden = fast.cost(FullSpan{}, Transport::ring);
  EXPECT_EQ(hidden.flops, 4 * 18);
  EXPECT_EQ(hidden.compute_s, 3.5 * 18);
  EXPECT_EQ(hidden.transfer_s, 8 + 8 + 8);
  EXPECT_EQ(hidden.exposed_s, 8);          // the gradients' last hop
  Hand slow(LayoutKind::zigzag, 8, 2, 2);  // 16 s: 6 more than a step forward, less than backward
  EXPECT_EQ(slow.cost(FullSpan{}, Transport::ring).exposed_s, 6 + 16);
  EXPECT_EQ(slow.cost(FullSpan{}, Transport::ring).bytes, (ExchangeBytes{32, 64}));
  slow.setting.forward_again = true;
  EXPECT_EQ(slow.cost(FullSpan{}, Transport::ring).exposed_s, 6 + 6 + 16);
  EXPECT_EQ(slow.cost(FullSpan{}, Transport::ring).compute_s, 4.5 * 18);
  EXPECT_EQ(slow.cost(FullSpan{}, Transport::ring).bytes, (ExchangeBytes{32, 96}));
}

// Rank 1 needs one row (8 s) for its first query; the pairs of the others are 6 forward, 15 back.
TEST(TransportCost, OfAHalo) {
  const Hand hand(LayoutKind::contiguous, 8, 2, 1);
  const TransportCost cost = hand.cost(SlidingSpan{2}, Transport::halo);
  EXPECT_EQ(cost.bytes, (ExchangeBytes{8, 8}));
  EXPECT_EQ(cost.transfer_s, 16);
  EXPECT_EQ(cost.exposed_s, 2);
  EXPECT_EQ(cost.compute_s, 3.5 * 8);
}

TEST(TransportCost, OfWhatNothingHides) {
  const Hand hand(LayoutKind::contiguous, 8, 2, 1, 2);
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::gather).exposed_s, 64 + 128);
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::all_to_all).exposed_s, 64 + 64);
  // Contiguous chunks have 10 and 26 pairs of each head; all_to_all evens them out.
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::gather).compute_s, 3.5 * 2 * 26);
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::all_to_all).compute_s, 3.5 * 2 * 18);
  EXPECT_EQ(transport_costs(FullSpan{}, Hand(LayoutKind::contiguous, 8, 2, 1).setting).size(), 3u);
}

TEST(TransportCost, BetweenNodesTakesTheLinkThere) {
  Hand hand(LayoutKind::contiguous, 8, 2, 1);
  const double inside = hand.cost(FullSpan{}, Transport::gather).exposed_s;
  hand.setting.tp = 2;
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::gather).exposed_s, inside);
  hand.setting.tp = 4;  // 2 x 4 ranks do not fit a node of 4
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::gather).exposed_s, 10 * inside);
}

TEST(ChooseTransport, TakesTheOneThatMakesTheLayerFastest) {
  const auto choice = [](const AnySpan& span, double bytes_per_s, std::int64_t heads = 1) {
    return choose_transport(span, Hand(LayoutKind::zigzag, 64, 4, bytes_per_s, heads).setting,
                            "auto");
  };
  EXPECT_EQ(choice(SlidingSpan{4}, 10).cost.transport, Transport::halo);
  EXPECT_EQ(choice(FullSpan{}, 10).cost.transport, Transport::ring);
  EXPECT_EQ(choice(FullSpan{}, 0.1, 4).cost.transport, Transport::all_to_all);
  const TransportChoice halo = choice(SlidingSpan{4}, 1e6);
  EXPECT_NE(halo.reason.find("hidden under computation; against ring"), std::string::npos)
      << halo.reason;
}

TEST(ChooseTransport, NeverTakesAHaloThatIsAsLargeAsARing) {
  const Hand hand(LayoutKind::zigzag, 64, 4, 1e-3);  // so slow that fewer bytes would win
  EXPECT_EQ(hand.cost(FullSpan{}, Transport::halo).bytes.forward,
            hand.cost(FullSpan{}, Transport::ring).bytes.forward);
  EXPECT_LT(hand.cost(FullSpan{}, Transport::halo).seconds(),
            hand.cost(FullSpan{}, Transport::ring).seconds());
  EXPECT_NE(choose_transport(FullSpan{}, hand.setting, "auto").cost.transport, Transport::halo);
}

TEST(ChooseTransport, MovesNothingThatNeedNotMove) {
  const Hand hand(LayoutKind::zigzag, 64, 4, 1);
  EXPECT_EQ(choose_transport(BlockSpan{8}, hand.setting, "ring").cost.transport, Transport::local);
  const Hand alone(LayoutKind::zigzag, 64, 1, 1);
  const TransportCost cost = choose_transport(FullSpan{}, alone.setting, "ring").cost;
  EXPECT_EQ(cost.transport, Transport::local);
  EXPECT_EQ(cost.bytes, ExchangeBytes{});
  EXPECT_EQ(cost.compute_s, 3.5 * 64 * 65 / 2);
}

TEST(ChooseTransport, DoesWhatItIsTold) {
  const Hand hand(LayoutKind::zigzag, 64, 4, 1);
  for (const Transport t : {Transport::halo, Transport::ring, Transport::gather}) {
    EXPECT_EQ(choose_transport(SlidingSpan{4}, hand.setting, str(t)).cost.transport, t);
  }
  EXPECT_NE(test::refusal([&] {
              choose_transport(SlidingSpan{4}, hand.setting, "all_to_all");
            }).find("cannot carry sliding:4 over 4 ranks"),
            std::string::npos);
}

}  // namespace
}  // namespace mixspan
