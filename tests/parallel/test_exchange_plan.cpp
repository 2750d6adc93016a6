// Halo plans against marking, query by query, which keys may be read; their tables by carrying
// labelled rows; the bytes of every transport against closed forms and against simulated moves.
#include "parallel/exchange_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "core/error.h"
#include "parallel/exchange_bytes.h"

namespace mixspan {
namespace {

struct Case {
  AnySpan span;
  SequenceLayout layout;
  Tensor document_start;  // (B, T), or of no element

  ConstView starts() const {
    return document_start.shape().rank() == 2 ? document_start.view() : ConstView();
  }
  bool reads(std::int64_t i, std::int64_t j) const {
    if (starts().empty()) return span.allows(i, j);
    for (std::int64_t b = 0; b < document_start.shape()[0]; ++b) {
      const std::int32_t* start = document_start.data<std::int32_t>() + b * layout.T();
      if (span.allows(i, j) && j >= start[i]) return true;
    }
    return false;
  }
  std::string str() const {
    return fmt::format("{} {} T={} ranks={} documents={}", span.str(), mixspan::str(layout.kind()),
                       layout.T(), layout.ranks(), !starts().empty());
  }
};

using Random = std::mt19937;
std::int64_t draw(Random& random, std::int64_t least, std::int64_t most) {
  return least + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most - least + 1));
}

AnySpan draw_span(Random& random, std::int64_t T) {
  switch (draw(random, 0, 3)) {
    case 0:
      return FullSpan{};
    case 1:
      return SlidingSpan{draw(random, 1, T + 2)};
    case 2:
      return BlockSpan{draw(random, 1, T), 0};
    default:
      return BlockSpan{draw(random, 1, T), 1};
  }
}

Tensor draw_documents(Random& random, std::int64_t T) {
  const std::int64_t B = draw(random, 0, 2);
  if (B == 0) return {};
  Tensor starts({B, T}, DType::i32);
  for (std::int64_t b = 0; b < B; ++b) {
    std::int32_t start = 0;
    for (std::int64_t i = 0; i < T; ++i) {
      if (draw(random, 0, 9) == 0) start = static_cast<std::int32_t>(i);
      starts.data<std::int32_t>()[b * T + i] = start;
    }
  }
  return starts;
}

Case draw_case(Random& random) {
  const int ranks = static_cast<int>(draw(random, 1, 6));
  const std::int64_t T = draw(random, 2 * ranks, 60);
  const LayoutKind kind = draw(random, 0, 1) == 0 ? LayoutKind::contiguous : LayoutKind::zigzag;
  return {draw_span(random, T), SequenceLayout(kind, T, ranks), draw_documents(random, T)};
}

template <class Body>
void for_random_cases(Body&& body) {
  Random random(7);
  for (int n = 0; n < 1500 && !testing::Test::HasFailure(); ++n) {
    const Case c = draw_case(random);
    SCOPED_TRACE(c.str());
    body(c, HaloPlan(c.span, c.layout, c.starts()));
  }
}

TEST(HaloPlan, HoldsEveryKeyThatIsReadAndNoOther) {
  for_random_cases([](const Case& c, const HaloPlan& plan) {
    ASSERT_EQ(plan.ranks(), c.layout.ranks());
    for (int rank = 0; rank < plan.ranks(); ++rank) {
      ASSERT_EQ(plan.halos(rank).size(), c.layout.chunks(rank).size());
      for (std::size_t k = 0; k < plan.halos(rank).size(); ++k) {
        const Range chunk = c.layout.chunks(rank)[k];
        std::set<std::int64_t> read, held;
        for (std::int64_t i = chunk.begin; i < chunk.end; ++i) {
          for (std::int64_t j = 0; j < chunk.begin; ++j) {
            if (c.reads(i, j)) read.insert(j);
          }
        }
        std::int64_t next = plan.halos(rank)[k].positions.begin;
        EXPECT_EQ(plan.halos(rank)[k].positions.end, chunk.begin);
        for (const HaloPiece& piece : plan.halos(rank)[k].pieces) {
          EXPECT_EQ(piece.positions.begin, next);
          next = piece.positions.end;
          ASSERT_EQ(piece.rows.size(), piece.positions.size());
          ASSERT_FALSE(piece.rows.empty());
          for (std::int64_t n = 0; n < piece.rows.size(); ++n) {
            EXPECT_EQ(c.layout.position(piece.rank, piece.rows.begin + n),
                      piece.positions.begin + n);
            held.insert(piece.positions.begin + n);
          }
        }
        EXPECT_EQ(next, chunk.begin);
        EXPECT_EQ(held, read);
      }
    }
  });
}

// Each rank packs its rows, labelled by position, as its sends say; each unpacks as its receives
// say. Every row of every halo is then written once, with the right label.
TEST(HaloPlan, MessagesCarryEveryRowToItsPlace) {
  for_random_cases([](const Case& c, const HaloPlan& plan) {
    std::map<std::pair<int, int>, std::vector<std::int64_t>> wire;
    const auto pack = [&](const HaloMessage& m) {
      std::vector<std::int64_t> rows;
      for (const HaloMessage::Part& part : m.parts) {
        for (std::int64_t r = part.rows.begin; r < part.rows.end; ++r) {
          rows.push_back(c.layout.position(m.from, r));
        }
      }
      EXPECT_EQ(static_cast<std::int64_t>(rows.size()), m.rows());
      EXPECT_TRUE(wire.emplace(std::pair(m.from, m.to), rows).second) << "two messages for a pair";
    };
    for (int rank = 0; rank < plan.ranks(); ++rank) {
      std::int64_t sent = 0;
      for (const HaloMessage& m : plan.sends(rank)) {
        EXPECT_EQ(m.from, rank);
        EXPECT_NE(m.to, rank);
        EXPECT_FALSE(m.parts.empty());
        sent += m.rows();
        pack(m);
      }
      EXPECT_EQ(plan.rows_sent(rank), sent);
      pack(plan.message(rank, rank));
    }
    std::size_t delivered = 0;
    for (int rank = 0; rank < plan.ranks(); ++rank) {
      std::vector<std::vector<std::int64_t>> halos;
      for (const ChunkHalo& halo : plan.halos(rank)) {
        halos.emplace_back(static_cast<std::size_t>(halo.positions.size()), -1);
      }
      const auto unpack = [&](const HaloMessage& m) {
        const std::vector<std::int64_t>& rows = wire.at({m.from, m.to});
        ++delivered;
        std::size_t next = 0;
        for (const HaloMessage::Part& part : m.parts) {
          for (std::int64_t r = part.halo_rows.begin; r < part.halo_rows.end; ++r) {
            std::int64_t& row =
                halos[static_cast<std::size_t>(part.chunk)].at(static_cast<std::size_t>(r));
            EXPECT_EQ(row, -1) << "written twice";
            row = rows.at(next++);
          }
        }
        EXPECT_EQ(next, rows.size());
      };
      std::int64_t received = 0;
      for (const HaloMessage& m : plan.receives(rank)) {
        EXPECT_EQ(m.to, rank);
        received += m.rows();
        unpack(m);
      }
      EXPECT_EQ(plan.rows_received(rank), received);
      unpack(plan.message(rank, rank));
      for (std::size_t k = 0; k < halos.size(); ++k) {
        for (std::size_t r = 0; r < halos[k].size(); ++r) {
          EXPECT_EQ(halos[k][r],
                    plan.halos(rank)[k].positions.begin + static_cast<std::int64_t>(r));
        }
      }
    }
    EXPECT_EQ(delivered, wire.size()) << "a message that nobody receives";
  });
}

HaloPlan plan_of(const AnySpan& span, LayoutKind kind, std::int64_t T, int ranks) {
  return {span, SequenceLayout(kind, T, ranks)};
}

TEST(HaloPlan, OfContiguousChunksComesFromThePredecessor) {
  const HaloPlan plan = plan_of(SlidingSpan{5}, LayoutKind::contiguous, 64, 4);
  EXPECT_TRUE(plan.receives(0).empty());
  EXPECT_TRUE(plan.sends(3).empty());
  for (int rank = 1; rank < 4; ++rank) {
    ASSERT_EQ(plan.receives(rank).size(), 1u);
    EXPECT_EQ(plan.receives(rank)[0], (HaloMessage{rank - 1, rank, {{{12, 16}, 0, {0, 4}}}}));
    EXPECT_EQ(plan.receives(rank), plan.sends(rank - 1));
  }
}

TEST(HaloPlan, OfZigzagChunksComesFromBothNeighbours) {
  const HaloPlan plan = plan_of(SlidingSpan{5}, LayoutKind::zigzag, 64, 4);
  // Rank 1 holds chunks 1 and 6 of 8: it lacks the ends of chunk 0 (rank 0) and 5 (rank 2).
  EXPECT_EQ(plan.receives(1), (std::vector<HaloMessage>{{0, 1, {{{4, 8}, 0, {0, 4}}}},
                                                        {2, 1, {{{12, 16}, 1, {0, 4}}}}}));
  EXPECT_EQ(plan.sends(1), (std::vector<HaloMessage>{{1, 0, {{{12, 16}, 1, {0, 4}}}},
                                                     {1, 2, {{{4, 8}, 0, {0, 4}}}}}));
  EXPECT_EQ(plan.receives(3).size(), 1u);  // its chunks 3 and 4 touch
}

TEST(HaloPlan, OfALongSpanComesFromSeveralRanksAndFromTheRankItself) {
  const HaloPlan plan = plan_of(SlidingSpan{20}, LayoutKind::contiguous, 64, 8);
  EXPECT_EQ(plan.receives(4), (std::vector<HaloMessage>{{1, 4, {{{5, 8}, 0, {0, 3}}}},
                                                        {2, 4, {{{0, 8}, 0, {3, 11}}}},
                                                        {3, 4, {{{0, 8}, 0, {11, 19}}}}}));
  // Rank 0 of 2 holds chunks 0 and 3 of 4; the last reads back to its own first one.
  const HaloPlan zigzag = plan_of(FullSpan{}, LayoutKind::zigzag, 16, 2);
  EXPECT_EQ(zigzag.message(0, 0), (HaloMessage{0, 0, {{{0, 4}, 1, {0, 4}}}}));
  EXPECT_EQ(zigzag.rows_received(0), 8);
}

TEST(HaloPlan, MovesNothingWhereChunksAreWholeBlocks) {
  EXPECT_TRUE(plan_of(BlockSpan{4}, LayoutKind::zigzag, 64, 4).moves_nothing());
  EXPECT_TRUE(plan_of(SlidingSpan{1}, LayoutKind::zigzag, 64, 4).moves_nothing());
  EXPECT_TRUE(plan_of(FullSpan{}, LayoutKind::zigzag, 64, 1).moves_nothing());
  EXPECT_FALSE(plan_of(BlockSpan{4, 1}, LayoutKind::zigzag, 64, 4).moves_nothing());
  EXPECT_FALSE(plan_of(BlockSpan{5}, LayoutKind::zigzag, 64, 4).moves_nothing());
}

TEST(HaloPlan, RefusesDocumentsOfAnotherLength) {
  EXPECT_THROW(
      HaloPlan(FullSpan{}, SequenceLayout(LayoutKind::zigzag, 16, 2), Tensor({1, 15}, DType::i32)),
      Error);
}

TEST(Transport, ReadsWhatItWrites) {
  for (const Transport t : {Transport::local, Transport::halo, Transport::ring,
                            Transport::all_to_all, Transport::gather}) {
    EXPECT_EQ(parse_transport(str(t)), t);
  }
  EXPECT_THROW(parse_transport("auto"), InputError);
}

constexpr RowSize kRow{.B = 3, .heads = 8, .head_size = 16, .element_bytes = 2};
constexpr std::int64_t kKv = 3 * 8 * 16 * 2;

TEST(ExchangeBytes, OfASlidingLayerDoNotGrowWithTheSequence) {
  for (const LayoutKind kind : {LayoutKind::contiguous, LayoutKind::zigzag}) {
    const std::int64_t sides = kind == LayoutKind::zigzag ? 2 : 1;
    for (const std::int64_t T : {256, 512, 1024}) {
      const HaloPlan plan = plan_of(SlidingSpan{10}, kind, T, 8);
      for (int rank = 1; rank < 7; ++rank) {
        EXPECT_EQ(halo_bytes(plan, rank, kRow),
                  (ExchangeBytes{2 * sides * 9 * kKv, 2 * sides * 9 * kKv}));
      }
    }
  }
}

TEST(ExchangeBytes, OfEvenChunksAreTheClosedForms) {
  const std::int64_t P = 4, T = 64, L = T / P;
  for (const LayoutKind kind : {LayoutKind::contiguous, LayoutKind::zigzag}) {
    const SequenceLayout layout(kind, T, P);
    for (int rank = 0; rank < P; ++rank) {
      EXPECT_EQ(ring_bytes(layout, rank, kRow),
                (ExchangeBytes{2 * (P - 1) * L * kKv, 4 * (P - 1) * L * kKv}));
      EXPECT_EQ(gather_bytes(layout, rank, kRow), ring_bytes(layout, rank, kRow));
      EXPECT_EQ(all_to_all_bytes(layout, rank, kRow),
                (ExchangeBytes{4 * (P - 1) * L * kKv / P, 4 * (P - 1) * L * kKv / P}));
    }
  }
}

// Every row of every move, one by one, in chunks of uneven sizes.
TEST(ExchangeBytes, OfUnevenChunksAreWhatMoves) {
  const int P = 4;
  const RowSize one{.B = 1, .heads = 4, .head_size = 1, .element_bytes = 1};
  for (const LayoutKind kind : {LayoutKind::contiguous, LayoutKind::zigzag}) {
    const SequenceLayout layout(kind, 29, P);
    std::vector<ExchangeBytes> ring(P), all_to_all(P), gather(P);
    const auto at = [](std::vector<ExchangeBytes>& all, int rank) -> ExchangeBytes& {
      return all[static_cast<std::size_t>(rank % P)];
    };
    for (int owner = 0; owner < P; ++owner) {
      const std::int64_t rows = layout.rows(owner), kv = 2 * 4 * rows, part = rows;
      for (int hop = 0; hop < P - 1; ++hop) {
        at(ring, owner + hop).forward += kv;
        at(ring, owner + hop).backward += kv;
        at(ring, owner + 1 + hop).backward += kv;  // the sums, until they are home
      }
      for (int other = 0; other < P; ++other) {
        if (other == owner) continue;
        at(all_to_all, owner).forward += 3 * part;  // q, k, v
        at(all_to_all, other).forward += part;      // o
        at(all_to_all, owner).backward += part;     // the gradient of o
        at(all_to_all, other).backward += 3 * part;
        at(gather, owner).forward += kv;
        at(gather, owner).backward += kv;
        at(gather, other).backward += kv;
      }
    }
    for (int rank = 0; rank < P; ++rank) {
      EXPECT_EQ(ring_bytes(layout, rank, one), at(ring, rank));
      EXPECT_EQ(all_to_all_bytes(layout, rank, one), at(all_to_all, rank));
      EXPECT_EQ(gather_bytes(layout, rank, one), at(gather, rank));
    }
  }
}

TEST(ExchangeBytes, OfTheRankThatSendsMost) {
  const SequenceLayout layout(LayoutKind::contiguous, 32, 4);
  const HaloPlan plan(SlidingSpan{5}, layout);
  EXPECT_EQ(exchange_bytes(Transport::halo, plan, layout, 3, kRow),
            (ExchangeBytes{0, 2 * 4 * kKv}));
  EXPECT_EQ(most_exchange_bytes(Transport::halo, plan, layout, kRow),
            (ExchangeBytes{2 * 4 * kKv, 2 * 4 * kKv}));
  EXPECT_EQ(most_exchange_bytes(Transport::local, plan, layout, kRow), ExchangeBytes{});
  EXPECT_THROW(all_to_all_bytes(layout, 0, {.heads = 6}), Error);
}

}  // namespace
}  // namespace mixspan
