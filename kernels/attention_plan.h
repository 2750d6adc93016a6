// What the forward and backward loops over tiles, heads and threads share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "kernels/attention.h"
#include "kernels/attention_tiles.h"
#include "kernels/tile_ranges.h"

namespace mixspan::attention {

/// Sizes as attention.h names them.
struct Sizes {
  std::int64_t B, Tq, Tk, N, K, H;
  std::int64_t group;   ///< query heads that read one key/value head
  std::int64_t padded;  ///< H rounded up to TileKernels::padding
  std::int64_t offset;  ///< position of query row 0

  std::int64_t half_head() const { return (H + 1) / 2; }  ///< pairs of a row
  std::int64_t key_tiles() const { return (Tk + kTileKeys - 1) / kTileKeys; }

  Sizes(const ConstView& q, const ConstView& k, const AttentionRule& rule, int multiple);
};

/// What the queries of one sequence read: lo(i) looked up, the span and the document starts in one,
/// and the tiles that follow from it. From here on positions count from key row 0, so that a key's
/// row is its position and query row r sits at position r + sizes.offset >= 0. Rows that read no
/// key, if any, are the last; keys that no row reads are the first or the last.
struct Reach {
  const std::int32_t* first_key;  ///< by query row; Tk where the row reads no key
  const std::int32_t* readers;  ///< by tile of keys: the first row that reads it, and past the last
  const Sizes& sizes;

  std::int64_t lo(std::int64_t i) const { return first_key[i - sizes.offset]; }
  Range positions(Range rows) const { return {rows.begin + sizes.offset, rows.end + sizes.offset}; }
  Range keys_of(std::int64_t tile) const;
  /// The tiles of keys that `rows` (not empty) of queries read.
  Range key_tiles(Range rows) const;
  /// The rows of queries that read a tile of keys.
  Range rows_reading(std::int64_t tile) const { return {readers[2 * tile], readers[2 * tile + 1]}; }
  /// The tiles of rows, counted from the first of `rows`, that read a tile of keys.
  Range row_tiles(std::int64_t tile, Range rows) const;
};

/// The Reach of every sequence, in scratch memory.
class Reaches {
 public:
  Reaches(Arena& scratch, const AttentionRule& rule, const Sizes& sizes);
  Reach of(std::int64_t b) const {
    b = b < sequences_ ? b : 0;
    return {first_keys_ + b * sizes_.Tq, readers_ + b * 2 * sizes_.key_tiles(), sizes_};
  }

 private:
  void find_first_keys(const AttentionRule& rule);
  void find_readers();

  const Sizes& sizes_;
  std::int64_t sequences_;  // 1: all alike
  std::int32_t *first_keys_, *readers_;
};

/// Queries are dealt out in segments of whole tiles, one task each.
struct Segments {
  std::int64_t rows, count;
  Range range(std::int64_t s, std::int64_t T) const {
    return {s * rows, s * rows + rows < T ? s * rows + rows : T};
  }
};

/// One (sequence, key/value head, segment). The dearest, those at the end, come first, so that the
/// threads finish together.
struct Task {
  std::int64_t b, head, segment;
  Task(std::int64_t item, const Sizes& sizes, const Segments& segments)
      : b(item / sizes.K % sizes.B),
        head(item % sizes.K),
        segment(segments.count - 1 - item / (sizes.K * sizes.B)) {}
};

/// Rows from their first tile of keys to their last: a tile of rows needs memory only then, so tile
/// m of the segment lives in place m % places, and a short span's rows stay in the nearest cache.
struct Ring {
  std::int64_t places, group;
  /// The first row of tile m of query head g of the group.
  std::int64_t row(std::int64_t m, std::int64_t g) const {
    return (m % places * group + g) * kTileRows;
  }
};

/// What a segment of `queries` needs.
Ring ring_for(Reach reach, Range queries);

/// The rows of tile m of those that begin with `rows`.
inline Range rows_of_tile(std::int64_t m, Range rows) {
  const std::int64_t first = rows.begin + m * kTileRows;
  return {first, std::min(first + kTileRows, rows.end)};
}

/// The keys that each row of a tile reads: in `memory`, unless there is nothing to mask.
const RowEdges& edges_of(Reach reach, Range rows, Range keys, RowEdges& memory);

/// Hands out 64-byte aligned pieces of one worker's scratch memory; without memory, only counts.
class Pieces {
 public:
  explicit Pieces(float* begin) : begin_(begin) {}
  float* take(std::int64_t floats) {
    float* piece = begin_ == nullptr ? nullptr : begin_ + taken_;
    taken_ += (floats + 15) / 16 * 16;
    return piece;
  }
  std::int64_t taken() const { return taken_; }

 private:
  float* begin_;
  std::int64_t taken_ = 0;
};

/// Row 0 of (b, :, head, :) and the distance between rows.
inline Rows rows_of(const ConstView& x, std::int64_t b, std::int64_t head) {
  return {x.data<float>() + b * x.stride(0) + head * x.stride(2), x.stride(1)};
}
/// Likewise of a result. Streamed where every row of it is whole lines.
Output output_of(const View& x, std::int64_t b, std::int64_t head, std::int64_t first_row);
/// Fetches what a segment begins with: of `by_key` the first tile of keys, of `by_query` the first
/// tile of rows.
void fetch_first(const Task& task, Reach reach, Range queries,
                 std::initializer_list<const ConstView*> by_key,
                 std::initializer_list<const ConstView*> by_query);
/// Copies `count` rows of H floats to (count, padded), with zeros behind each. Rows that lie one
/// after the other share the first-level cache better than rows of a packed tensor, whose distance
/// is often near a power of two.
Rows gather_rows(Rows rows, std::int64_t count, const Sizes& sizes, float* copy);
/// `count` rows as the right operand of products, in memory for a whole tile of them.
const float* right_operand(const TileKernels&, Rows rows, std::int64_t count, const Sizes& sizes,
                           float* memory);
/// Zeros in all of x (B, T, K, H), which may be strided.
void clear_rows(const View& x);

}  // namespace mixspan::attention
