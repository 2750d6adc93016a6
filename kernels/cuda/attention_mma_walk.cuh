// How rows move between global and shared memory, and which tiles a block of the mma attention
// kernels visits in which order.
#pragma once

#include <limits>

#include "kernels/cuda/attention_mma_tiles.cuh"

namespace mixspan::cuda::mma {

/// Starts the copy of kRows rows of H, of which those from `end` on become zeros.
template <int H, int kRows, int kThreads>
__device__ inline void load_rows(SharedAddress tile, const bf16* from, std::int64_t stride,
                                 int first, int end) {
  constexpr int kPieces = Tile<H>::kPieces, kStep = kThreads / kPieces;
  const int row = static_cast<int>(threadIdx.x) / kPieces, piece = threadIdx.x % kPieces;
  if (kThreads % kPieces != 0 && row >= kStep) return;
  // One pointer that moves on: as many as there are steps would fill the registers.
  const bf16* next = from + (first + row) * stride + 8 * piece;
  const int left = end - first - row;
#pragma unroll
  for (int r = 0; r < kRows; r += kStep) {
    if (kRows % kStep != 0 && row + r >= kRows) break;
    cp_async_16(tile + Tile<H>::offset(row + r, piece), next, r < left);
    next += kStep * stride;
  }
}

/// Writes a warp's rows c * factor(m, half) as bf16 to `to`, through the warp's own rows of a tile
/// in shared memory, which nobody else reads any more. Rows from `end` on are not written.
template <int H, int kRowTiles, class Factor>
__device__ inline void store_rows(unsigned char* tile, int own, bf16* to, std::int64_t stride,
                                  int first, int end, const float (&c)[kRowTiles][H / 8][4],
                                  const Factor& factor_of) {
  const int lane = threadIdx.x % 32;
  __syncwarp();
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < H / 8; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = own + m * 16 + half * 8 + lane / 4;
        const float factor = factor_of(m, half);
        *reinterpret_cast<std::uint32_t*>(tile + Tile<H>::offset(r, n) + 4 * (lane % 4)) =
            bf16x2_bits(c[m][n][2 * half] * factor, c[m][n][2 * half + 1] * factor);
      }
    }
  }
  __syncwarp();
  constexpr int kPieces = Tile<H>::kPieces;
#pragma unroll 4
  for (int i = lane; i < 16 * kRowTiles * kPieces; i += 32) {
    const int r = own + i / kPieces, piece = i % kPieces;
    if (first + r < end) {
      *reinterpret_cast<uint4*>(to + (first + r) * stride + 8 * piece) =
          *reinterpret_cast<const uint4*>(tile + Tile<H>::offset(r, piece));
    }
  }
}

/// Key rows [begin, end) that a query row reads, counted from key row 0.
struct Bounds {
  int begin, end;

  __device__ bool hold(int key) const { return begin <= key && key < end; }
};
/// Of query row r; none where r is past the last.
__device__ inline Bounds bounds_of(const AttentionSizes& s, const SequenceSpan& span, int r) {
  if (r >= s.Tq) return {s.Tk, 0};
  const Range keys =
      s.key_rows(intersection(visible_keys(span, s.positions({r, r + 1})), s.held_keys()));
  return {static_cast<int>(keys.begin), static_cast<int>(keys.end)};
}

/// The tiles begin .. end - 1, of which open_begin .. open_end - 1 need no mask. Those that do are
/// visited first: from the last down to the open ones, then from the first up to them.
struct TileWalk {
  int begin = 0, open_begin = 0, open_end = 0, end = 0;

  /// `rows`: numbers that are visited; `open`: those whose tiles need no mask if wholly inside.
  __device__ TileWalk(Range rows, Range open, int tile) {
    const Range all = tiles_of(rows, tile);
    const Range free = intersection(tiles_within(intersection(open, rows), tile), all);
    begin = static_cast<int>(all.begin);
    end = static_cast<int>(all.end);
    open_begin = free.empty() ? end : static_cast<int>(free.begin);
    open_end = free.empty() ? end : static_cast<int>(free.end);
  }
  __device__ int count() const { return end - begin; }
  __device__ int masked() const { return count() - (open_end - open_begin); }
  __device__ int tile(int step) const {
    const int last = end - open_end;
    return step < last ? end - 1 - step : begin + step - last;
  }
};

/// The key tiles for query rows [first, last).
__device__ inline TileWalk key_walk(const AttentionSizes& s, const SequenceSpan& span, int first,
                                    int last, int tile) {
  const Range queries = s.positions({first, last}), held = s.held_keys();
  return {s.key_rows(intersection(visible_keys(span, queries), held)),
          s.key_rows(intersection(common_keys(span, queries), held)), tile};
}
/// The query tiles for key rows [first, last).
__device__ inline TileWalk query_walk(const AttentionSizes& s, const SequenceSpan& span, int first,
                                      int last, int tile) {
  const Range keys = {s.first_key + first, s.first_key + last}, held = s.held_queries();
  return {s.query_rows(visible_queries(span, keys, held)),
          s.query_rows(common_queries(span, keys, held)), tile};
}

/// Blocks by number: within a section of heads, tile by tile from one end. The keys and values
/// of a section are to stay in the device's cache.
struct BlockOrder {
  int tiles, heads, section;
  bool last_first;  ///< the last tile comes first

  struct Place {
    int tile, head;
  };
  unsigned blocks() const { return static_cast<unsigned>(tiles) * static_cast<unsigned>(heads); }
  __device__ Place place(int block) const {
    const int whole = section * tiles, first = block / whole * section, rest = block % whole;
    const int size = first + section <= heads ? section : heads - first;
    const int tile = rest / size;
    return {last_first ? tiles - 1 - tile : tile, first + rest % size};
  }
};
/// `rows` numbers in tiles of `tile`, for each of B x heads_of_sequence heads.
inline BlockOrder block_order(const AttentionSizes& s, int tile, int rows, int heads_of_sequence,
                              bool last_first) {
  const std::int64_t tiles = (rows + tile - 1) / tile,
                     heads = std::int64_t{s.B} * heads_of_sequence;
  mixspan::check(tiles * heads < std::numeric_limits<std::int32_t>::max(),
                 "attention: {} tiles of {} heads are too many for one launch", tiles, heads);
  // Where each query reads only its near past, a tile's neighbours read the same keys: they run at
  // the same time, head by head. Else as many heads as have their keys in half of a large cache.
  const std::int64_t last = s.first_query + s.Tq - 1;
  const bool near = s.span.lo(last) > s.first_key;
  constexpr std::int64_t cache_bytes = 24 << 20;
  const std::int64_t head_bytes = std::int64_t{4} * s.Tk * s.H;
  const std::int64_t section =
      near
          ? 1
          : std::clamp<std::int64_t>(cache_bytes / std::max<std::int64_t>(head_bytes, 1), 1, heads);
  return {static_cast<int>(tiles), static_cast<int>(heads), static_cast<int>(section), last_first};
}

}  // namespace mixspan::cuda::mma
