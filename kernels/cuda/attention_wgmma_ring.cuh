// Who waits for whom in a block of the wgmma attention kernels, and in which order blocks do their
// work.
#pragma once

#include <type_traits>

#include "core/cuda/cuda_check.h"
#include "core/exec.h"
#include "kernels/cuda/attention_wgmma_tiles.cuh"

namespace mixspan::cuda::wgmma_attention {

/// The place of a tile in a ring of kStages, and the parity of its turn.
template <int kStages>
struct Stage {
  int index = 0;
  unsigned parity = 0;

  __device__ void next() {
    if (++index == kStages) {
      index = 0;
      parity ^= 1;
    }
  }
};

/// A ring's barriers: a stage is full when its bytes are there and all writers have said so, empty
/// when all that read it are done with it.
template <int kStages>
struct Ring {
  Barrier full[kStages], empty[kStages];

  __device__ void init(int readers, int writers = 1) {
#pragma unroll
    for (int i = 0; i < kStages; ++i) {
      barrier_init(&full[i], writers);
      barrier_init(&empty[i], readers);
    }
  }
  __device__ void wait_full(Stage<kStages> s) { barrier_wait(&full[s.index], s.parity); }
  __device__ void wait_empty(Stage<kStages> s) { barrier_wait(&empty[s.index], s.parity ^ 1); }
  /// Waits until the stage may be filled, and says with how many bytes.
  __device__ Barrier* begin_fill(Stage<kStages> s, int bytes) {
    wait_empty(s);
    barrier_arrive_expecting(&full[s.index], bytes);
    return &full[s.index];
  }
  /// Once in each warp. Each warp waited for its own products, so each says so.
  __device__ void release(Stage<kStages> s) {
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(&empty[s.index]);
  }
};

/// The work of a launch whose blocks need nothing of each other, in an order that does not depend
/// on who is done first, the heaviest first. Blocks that each take many items go on with the next
/// while others still work, so a heavy item does not come last.
struct Schedule {
  BlockOrder order;
  int items;
  bool neighbours;  ///< a block's items follow each other (a short span's keys are still near), or
                    ///< they are dealt out from the heaviest, forth and back

  /// The i-th item of a block; items or more when there is none.
  __device__ int item(int i) const {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    if (!neighbours) return i * blocks + (i % 2 == 0 ? block : blocks - 1 - block);
    const std::int64_t all = items;
    const int first = static_cast<int>(all * block / blocks);
    return first + i < static_cast<int>(all * (block + 1) / blocks) ? first + i : items;
  }
};

/// The tiles that the 64 rows of one warpgroup need, and which of them without a mask.
struct OwnTiles {
  int begin = 0, open_begin = 0, open_end = 0, end = 0;

  __device__ static OwnTiles of(const TileWalk& walk) {
    return {walk.begin, walk.open_begin, walk.open_end, walk.end};
  }
  __device__ bool holds(int tile) const { return begin <= tile && tile < end; }
  __device__ bool masks(int tile) const { return tile < open_begin || tile >= open_end; }
};

/// 128 query rows of a head, and the tiles of keys that they need.
struct RowItem {
  int b, n, first;
  TileWalk walk;

  __device__ static RowItem of(const AttentionSizes& s, const Schedule& schedule, int item,
                               int tile) {
    const BlockOrder::Place place = schedule.order.place(item);
    const int b = place.head / s.N, first = place.tile * kRows;
    return {b, place.head % s.N, first, walk_of(s, b, first, kRows, tile)};
  }
  __device__ static TileWalk walk_of(const AttentionSizes& s, int b, int first, int rows,
                                     int tile) {
    if (first >= s.Tq) return TileWalk({0, 0}, {0, 0}, tile);
    return mma::key_walk(s, s.sequence(b), first, min(first + rows, s.Tq), tile);
  }
};

/// Sets the elements of a fragment to `value` whose columns, counted from `first`, are not within
/// their row's bounds.
template <int N>
__device__ inline void mask_fragment(float (&d)[N], const Bounds (&rows)[2], int first,
                                     float value) {
  const int column = first + 2 * static_cast<int>(threadIdx.x % 4);
#pragma unroll
  for (int i = 0; i < N; ++i) {
    if (!rows[i / 2 % 2].hold(column + i / 4 * 8 + i % 2)) d[i] = value;
  }
}

/// Tiles of kRows of `rows` numbers, for each of B x heads_of_sequence heads.
inline Schedule schedule_of(const AttentionSizes& s, int rows, int heads_of_sequence,
                            bool last_first) {
  const BlockOrder order = mma::block_order(s, kRows, rows, heads_of_sequence, last_first);
  const bool near = s.span.lo(s.first_query + s.Tq - 1) > s.first_key;
  return {order, static_cast<int>(order.blocks()), near};
}

/// Blocks for as many items: each multiprocessor holds one, with all its registers.
inline dim3 blocks_of(const Exec& ex, int items) {
  int multiprocessors = 0;
  check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, ex.device.index));
  return dim3(static_cast<unsigned>(std::min(items, multiprocessors)));
}

/// start(std::integral_constant<int, H>): 64 or 128, for which there are kernels.
template <class Start>
void with_head_size(int H, const Start& start) {
  H == 64 ? start(std::integral_constant<int, 64>{}) : start(std::integral_constant<int, 128>{});
}

/// Whether a span is so short that much of a 128-key tile at its edges would be computed for
/// nothing.
inline bool is_short(const AttentionRule& rule, std::int64_t Tq) {
  return !rule.span.is_full() && rule.span.max_lookback(rule.first_query + Tq) <= 1024;
}

}  // namespace mixspan::cuda::wgmma_attention
