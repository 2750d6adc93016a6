// What attention does to one tile of queries x keys. One version for each instruction set; the
// loops over tiles, heads and threads around them are compiled once (attention_forward.cpp,
// attention_backward.cpp).
//
// The version for products of bf16 keeps operands as pairs (bf16_tiles.h): the left one of a
// product as pairs along its rows, the right one as pairs of rows. They lie where floats would, and
// strides count pairs as they would floats.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "kernels/attention_rows.h"

namespace mixspan::attention {

inline constexpr int kTileRows = 64;  // queries
inline constexpr int kTileKeys = 64;
/// Floats from one row of a score tile, or of a transposed tile, to the next: a vector may begin at
/// any key, so there is room for a whole one (of up to 16 lanes) past the last.
inline constexpr int kTileStride = kTileKeys + 16;

/// Which keys of a tile each of its rows reads: [begin[r], end[r]), counted from the tile's first
/// key. Neither falls with r; an empty range has begin >= end.
struct RowEdges {
  bool interior = false;  ///< every row reads all kTileKeys keys: no mask is needed
  int begin[kTileRows] = {};
  int end[kTileRows] = {};
};

/// `padded` is the head size H rounded up to TileKernels::padding. Scores are in log2 units: the
/// keys in keys_t carry scale * log2(e), or, where products are of bf16, scores are multiplied by
/// it.
struct ForwardTile {
  int rows, keys, head, padded;
  float score_scale;  ///< scale * log2(e)
  bool first;         ///< o and sums are not yet anything: they are overwritten
  const RowEdges* edges;
  Ahead* ahead;
  Rows q;               // (rows, head); left
  const float* keys_t;  // (head, kTileStride); right
  const float* v;       // (keys, padded); right
  float* scores;        // (kTileRows, kTileStride), scratch
  float* rounded;       // (kTileRows, kTileKeys / 2) pairs, scratch; products of bf16 only
  float* o;             // (rows, padded): sum of exp2(score - largest) * value; updated
  float* largest;       // (kTileRows) the largest score so far; updated
  float* sums;          // (rows, lanes): sum of exp2(score - largest), by lane; updated
};

struct BackwardTile {
  int rows, keys, head, padded;
  bool first_keys, first_rows;  ///< dq, and dk and dv, are not yet anything: they are overwritten
  float scale, score_scale;
  const RowEdges* edges;
  Ahead* ahead;
  Rows q, do_;                      // (rows, head); left
  const float *q_right, *do_right;  // (rows, padded); right
  const float* k;                   // (keys, padded); right
  const float* keys_t;              // (head, kTileStride); right
  const float* values_t;            // (head, kTileStride), as they are; right
  const float* lse;                 // (kTileRows) log2 of the sum of exp2(scores)
  const float* delta;               // (kTileRows) sum over the head of do * o
  float *weights, *dscores;         // (kTileRows, kTileStride), scratch
  float* rounded;                   // as in ForwardTile
  float *dq, *dk, *dv;              // (rows or keys, padded): updated
};

/// One kv head's queries against the rows of its cache.
struct DecodeHead {
  std::int64_t group, cache_rows, head;
  float scale;                  // without log2(e)
  Rows q, k, v;                 // (group, head), (cache_rows, head) twice
  const std::uint8_t* visible;  // (cache_rows)
  float* scores;                // (group, cache_rows), scratch
  float* o;                     // (group, head), o_stride apart
  std::int64_t o_stride;
};

struct TileKernels {
  int lanes;    ///< floats in a vector
  int padding;  ///< heads are padded to a multiple of it
  void (*forward)(const ForwardTile&);
  void (*backward)(const BackwardTile&);
  void (*decode)(const DecodeHead&);
  /// out(head, kTileStride) = scale * rows(keys, head)^T, zero past `keys`. Right. `scale` is 1
  /// where products are of bf16.
  void (*transpose)(float* out, Rows rows, int keys, int head, float scale);
  /// out[r] = sum of a(r, :) * b(r, :) over the head.
  void (*dots)(float* out, Rows a, Rows b, int rows, int head);
  /// Divides each row of o(rows, padded) by the sum of its lanes in `sums`, which it writes to
  /// total[r], and stores the row's first `head` floats in out; zeros where the sum is 0.
  void (*normalise)(const Output& out, float* total, const ForwardTile& tile);
  /// The first `head` floats of each of from(rows, padded) to out.
  void (*put)(const Output& out, const float* from, int rows, int head, int padded);
  /// y = 2^x for x <= 127; 0 below the normal range (x < -126). Error below 2 units in the last
  /// place. n is a multiple of lanes.
  void (*exp2)(float* y, const float* x, std::int64_t n);
  /// Null where products are of fp32. out(count, head / 2 rounded up):
  /// pairs along the rows. Left.
  void (*left)(float* out, Rows rows, int count, int head) = nullptr;
  /// Likewise. out(count / 2 rounded up, padded): pairs of rows, zeros past `head`. Right.
  void (*right)(float* out, Rows rows, int count, int head, int padded) = nullptr;
};

/// The version for `isa`, or the best one below it that this build has. Products of bf16 are only
/// to be had as instructions: throws Error where `isa` or the processor lacks them.
const TileKernels& tile_kernels(Isa isa, Precision precision);

namespace portable {
const TileKernels& tile_kernels();
}
namespace avx2 {
const TileKernels& tile_kernels();
}
namespace avx512 {
const TileKernels& tile_kernels();
}
namespace avx512_bf16 {
const TileKernels& tile_kernels();
}

}  // namespace mixspan::attention
