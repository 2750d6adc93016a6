#include "kernels/tile_ranges.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/span.h"
#include "tests/kernels/attention_cases.h"

namespace mixspan::test {
namespace {

// A span cut at document starts, as attention sees it.
struct CutSpan {
  AnySpan span;
  std::vector<std::int64_t> start;
  std::int64_t lo(std::int64_t i) const {
    return std::max(span.lo(i), start[static_cast<std::size_t>(i)]);
  }
};

CutSpan uncut(const AnySpan& span, std::int64_t T) {
  return {span, std::vector<std::int64_t>(static_cast<std::size_t>(T), 0)};
}

// Whether each, or some, pair of a tile is visible, asked of every pair.
struct Seen {
  bool some = false, each = true;
};
Seen seen(const CutSpan& truth, Range queries, Range keys) {
  Seen result;
  for (std::int64_t i = queries.begin; i < queries.end; ++i) {
    for (std::int64_t j = keys.begin; j < keys.end; ++j) {
      const bool pair = truth.span.allows(i, j) && j >= truth.start[static_cast<std::size_t>(i)];
      result.some |= pair;
      result.each &= pair;
    }
  }
  return result;
}

// How many tiles the ranges of `used` get wrong against the pairs of `truth`.
template <class Span>
int wrong_tiles(const Span& used, const CutSpan& truth, std::int64_t T, std::int64_t rows,
                std::int64_t cols) {
  int wrong = 0;
  const std::int64_t row_tiles = (T + rows - 1) / rows, col_tiles = (T + cols - 1) / cols;
  for (std::int64_t m = 0; m < row_tiles; ++m) {
    const Range queries{m * rows, std::min((m + 1) * rows, T)};
    const Range visited_keys = tiles_of(visible_keys(used, queries), cols);
    const Range open_keys = tiles_within(common_keys(used, queries), cols);
    for (std::int64_t n = 0; n < col_tiles; ++n) {
      const Range keys{n * cols, std::min((n + 1) * cols, T)};
      const Range visiting = tiles_of(visible_queries(used, keys, {0, T}), rows);
      const Range opening = tiles_within(common_queries(used, keys, {0, T}), rows);
      const Seen want = seen(truth, queries, keys);
      wrong += (visited_keys.begin <= n && n < visited_keys.end) != want.some;
      wrong += (visiting.begin <= m && m < visiting.end) != want.some;
      wrong += all_visible(used, queries, keys) != want.each;
      wrong += (open_keys.begin <= n && n < open_keys.end) != (want.each && keys.size() == cols);
      wrong += (opening.begin <= m && m < opening.end) != (want.each && queries.size() == rows);
    }
  }
  return wrong;
}

constexpr std::int64_t kLengths[] = {1, 2, 7, 8, 9, 23, 40};
constexpr Range kTiles[] = {{1, 1}, {1, 4}, {4, 4}, {8, 8}, {8, 3}, {5, 8}, {16, 64}};

TEST(TileRanges, VisitExactlyTheTilesWithAVisiblePair) {
  for (const std::int64_t T : kLengths) {
    for (const AnySpan& span : awkward_spans(T)) {
      for (const auto [rows, cols] : kTiles) {
        const CutSpan cut = uncut(span, T);
        EXPECT_EQ(wrong_tiles(cut, cut, T, rows, cols), 0)
            << span.str() << " T=" << T << " tile " << rows << "x" << cols;
        EXPECT_EQ(wrong_tiles(span, cut, T, rows, cols), 0) << span.str();
      }
    }
  }
}

TEST(TileRanges, StopAtDocumentStarts) {
  for (const std::int64_t T : kLengths) {
    const Tensor start = documents(1, T, {6, 1, 11, 3});
    for (const AnySpan& span : awkward_spans(T)) {
      CutSpan cut = uncut(span, T);
      for (std::int64_t i = 0; i < T; ++i) {
        cut.start[static_cast<std::size_t>(i)] = start.data<std::int32_t>()[i];
      }
      for (const auto [rows, cols] : kTiles) {
        EXPECT_EQ(wrong_tiles(cut, cut, T, rows, cols), 0)
            << span.str() << " T=" << T << " tile " << rows << "x" << cols;
      }
    }
  }
}

// lo() moved by some keys: what a slip at a range's edge would look like.
struct ShiftedSpan {
  AnySpan span;
  std::int64_t shift;
  std::int64_t lo(std::int64_t i) const {
    return std::clamp<std::int64_t>(span.lo(i) + shift, 0, i);
  }
};

TEST(TileRanges, AnEdgeThatIsOffByOneIsNoticed) {
  constexpr std::int64_t T = 40;
  for (const AnySpan& span : {AnySpan(SlidingSpan{9}), AnySpan(BlockSpan{8}),
                              AnySpan(BlockSpan{8, 1}), AnySpan(SlidingSpan{16})}) {
    for (const std::int64_t shift : {-1, 1, -8, 8}) {
      EXPECT_GT(wrong_tiles(ShiftedSpan{span, shift}, uncut(span, T), T, 3, 5), 0)
          << span.str() << " shifted by " << shift;
    }
  }
  EXPECT_EQ(wrong_tiles(ShiftedSpan{SlidingSpan{9}, 0}, uncut(SlidingSpan{9}, T), T, 3, 5), 0);
}

TEST(TileRanges, AllVisibleIsExactAtEachOfItsFourEdges) {
  const SlidingSpan span{10};
  EXPECT_TRUE(all_visible(span, {20, 24}, {14, 21}));
  EXPECT_FALSE(all_visible(span, {20, 24}, {13, 21}));  // query 23 begins at key 14
  EXPECT_FALSE(all_visible(span, {20, 25}, {14, 21}));
  EXPECT_FALSE(all_visible(span, {20, 24}, {14, 22}));  // key 21 comes after query 20
  EXPECT_FALSE(all_visible(span, {19, 24}, {14, 21}));
}

TEST(TileRanges, EmptyRangesHaveNoTiles) {
  EXPECT_EQ(tiles_of({5, 5}, 4).size(), 0);
  EXPECT_EQ(tiles_within({8, 4}, 4).size(), 0);
  EXPECT_EQ(tiles_within({5, 11}, 4).size(), 0);
  EXPECT_TRUE(visible_queries(FullSpan{}, {12, 13}, {0, 12}).empty());
  EXPECT_EQ(intersection({0, 4}, {6, 9}).size(), 0);
}

}  // namespace
}  // namespace mixspan::test
