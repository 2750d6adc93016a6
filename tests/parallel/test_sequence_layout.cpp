#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "kernels/span.h"
#include "parallel/sequence_layout.h"

namespace mixspan {
namespace {

TEST(SequenceLayout, EveryPositionHasOnePlace) {
  for (const LayoutKind kind : {LayoutKind::contiguous, LayoutKind::zigzag}) {
    for (const int ranks : {1, 2, 3, 4, 8}) {
      for (const std::int64_t T : {16, 17, 31, 64, 101}) {
        const SequenceLayout layout(kind, T, ranks);
        std::set<std::int64_t> seen;
        for (int rank = 0; rank < ranks; ++rank) {
          for (std::int64_t row = 0; row < layout.rows(rank); ++row) {
            const std::int64_t position = layout.position(rank, row);
            EXPECT_TRUE(seen.insert(position).second) << position;
          }
        }
        EXPECT_EQ(static_cast<std::int64_t>(seen.size()), T);
        EXPECT_EQ(*seen.rbegin(), T - 1);
      }
    }
  }
}

TEST(SequenceLayout, ZigzagGivesEveryRankTheSameCausalWork) {
  const std::int64_t T = 64;
  const int ranks = 4;
  const SequenceLayout layout(LayoutKind::zigzag, T, ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    std::int64_t pairs = 0;
    for (const Range& chunk : layout.chunks(rank)) {
      for (std::int64_t i = chunk.begin; i < chunk.end; ++i) pairs += i + 1;
    }
    EXPECT_EQ(pairs, AnySpan().pairs(T) / ranks);
  }
}

TEST(SequenceLayout, ChunksThatTouchAreOne) {
  const SequenceLayout zigzag(LayoutKind::zigzag, 16, 2);
  EXPECT_EQ(zigzag.chunks(0).size(), 2u);
  ASSERT_EQ(zigzag.chunks(1).size(), 1u);
  EXPECT_EQ(zigzag.chunks(1)[0], (Range{4, 12}));
  EXPECT_EQ(SequenceLayout(LayoutKind::zigzag, 5, 1).chunks(0)[0], (Range{0, 5}));
}

TEST(SequenceLayout, RefusesFewerTokensThanChunks) {
  EXPECT_THROW(SequenceLayout(LayoutKind::zigzag, 7, 4), InputError);
  EXPECT_NO_THROW(SequenceLayout(LayoutKind::contiguous, 7, 4));
  EXPECT_THROW(SequenceLayout(LayoutKind::contiguous, 3, 4), InputError);
  EXPECT_EQ(parse_layout("zigzag"), LayoutKind::zigzag);
  EXPECT_THROW(parse_layout("striped"), InputError);
}

}  // namespace
}  // namespace mixspan
