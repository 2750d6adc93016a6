// Tiles of query rows as they come to the blocks of the wgmma kernels that own keys.
#pragma once

#include "kernels/cuda/attention_wgmma_backward.cuh"

namespace mixspan::cuda::wgmma_attention {

/// Tiles of query rows and of the gradients of their outputs, with the rows' statistics, as they
/// come to a block.
template <int H, int kTileRows, int kStages>
struct RowTiles {
  using Tile = BoxTile<H, kTileRows>;
  unsigned char queries[kStages][Tile::kBytes], gradients[kStages][Tile::kBytes];
  alignas(16) RowStatistics statistics[kStages][kTileRows];
  Ring<kStages> query_ring, gradient_ring;

  __device__ void init(int warps) {
    query_ring.init(warps);
    gradient_ring.init(warps);
  }
  /// One thread starts the copies of the tile of head n of sequence b whose statistics are
  /// `of_head`.
  __device__ void copy_in(Stage<kStages> stage, const TensorMap& q, const TensorMap& do_,
                          const RowStatistics* of_head, int tile, int n, int b) {
    constexpr int statistics_bytes = kTileRows * sizeof(RowStatistics);
    const int row = tile * kTileRows;
    Barrier* const query = query_ring.begin_fill(stage, Tile::kBytes + statistics_bytes);
    Tile::copy_in(queries[stage.index], q, query, row, n, b);
    copy_bytes_in(statistics[stage.index], of_head + row, statistics_bytes, query);
    Barrier* const gradient = gradient_ring.begin_fill(stage, Tile::kBytes);
    Tile::copy_in(gradients[stage.index], do_, gradient, row, n, b);
  }
  /// By the warps that compute: the tile is not needed any more, or not at all.
  __device__ void release(Stage<kStages> stage) {
    query_ring.release(stage);
    gradient_ring.release(stage);
  }
  __device__ void pass_over(Stage<kStages> stage) {
    query_ring.wait_full(stage);
    gradient_ring.wait_full(stage);
    release(stage);
  }
};

}  // namespace mixspan::cuda::wgmma_attention
