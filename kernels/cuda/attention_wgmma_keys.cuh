// What the warpgroups of the wgmma kernels that own keys compute alike: scores and their gradients,
// transposed, keys x queries.
#pragma once

#include "kernels/cuda/attention_wgmma_key_items.cuh"

namespace mixspan::cuda::wgmma_attention {

/// Query rows that read a key row; none where the key is past the last.
__device__ inline Bounds readers_of(const AttentionSizes& s, const SequenceSpan& span, int key) {
  if (key >= s.Tk) return {s.Tq, 0};
  const std::int64_t position = s.first_key + key;
  const Range rows =
      s.query_rows(visible_queries(span, {position, position + 1}, s.held_queries()));
  return {static_cast<int>(rows.begin), static_cast<int>(rows.end)};
}

/// The 64 keys of one of a block's warpgroups: the tiles that read them, and the rows that read the
/// two keys of the calling thread's fragments.
template <int kTileRows>
struct OwnKeys {
  OwnTiles tiles = {};
  Bounds readers[2] = {};

  /// `own`: the warpgroup's number.
  __device__ void begin(const AttentionSizes& s, const KeyItem& work, int own) {
    const int first = work.first + own * kOwnRows, thread = threadIdx.x % kWarpgroup;
    const SequenceSpan span = s.sequence(work.b);
    tiles = {};
    if (first < s.Tk) {
      const int last = min(first + kOwnRows, s.Tk);
      tiles = OwnTiles::of(mma::query_walk(s, span, first, last, kTileRows));
    }
    const int key = first + thread / 32 * 16 + thread % 32 / 4;
    readers[0] = readers_of(s, span, key);
    readers[1] = readers_of(s, span, key + 8);
  }

  /// Scores become weights. `rows`: the statistics of the tile's rows.
  __device__ void weigh(float (&scores)[kTileRows / 2], const RowStatistics* rows, int tile,
                        float scale_log2) const {
    if (tiles.masks(tile)) mask_fragment(scores, readers, tile * kTileRows, kNever);
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4) {
      const float4 two = pair_of_rows(rows, i);
      scores[i] = exp2_approx(fmaf(scores[i], scale_log2, -two.x));
      scores[i + 1] = exp2_approx(fmaf(scores[i + 1], scale_log2, -two.z));
      scores[i + 2] = exp2_approx(fmaf(scores[i + 2], scale_log2, -two.x));
      scores[i + 3] = exp2_approx(fmaf(scores[i + 3], scale_log2, -two.z));
    }
  }
  /// dp becomes dS.
  __device__ void differentiate(float (&dp)[kTileRows / 2], const float (&weights)[kTileRows / 2],
                                const RowStatistics* rows, int tile) const {
    // They may be infinite, where nobody looks.
    if (tiles.masks(tile)) mask_fragment(dp, readers, tile * kTileRows, 0.0f);
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4) {
      const float4 two = pair_of_rows(rows, i);
      dp[i] = weights[i] * (dp[i] - two.y);
      dp[i + 1] = weights[i + 1] * (dp[i + 1] - two.w);
      dp[i + 2] = weights[i + 2] * (dp[i + 2] - two.y);
      dp[i + 3] = weights[i + 3] * (dp[i + 3] - two.w);
    }
  }

 private:
  /// lse2 and delta of the two query rows that element i of a fragment and its neighbour are of.
  __device__ static float4 pair_of_rows(const RowStatistics* rows, int i) {
    return *reinterpret_cast<const float4*>(rows + 2 * i + 2 * static_cast<int>(threadIdx.x % 4));
  }
};

/// P^T and dS^T (own keys x the tile's rows) as operands of the next products, from the block's
/// tiles of keys and values (BoxTile<H, kRows>). Waits for the rows to come.
template <int H, int kTileRows, int kStages>
__device__ inline void weights_and_gradients(
    std::uint32_t (&weights)[kTileRows / 16][4], std::uint32_t (&ds)[kTileRows / 16][4],
    RowTiles<H, kTileRows, kStages>& rows, Stage<kStages> stage, SharedAddress keys,
    SharedAddress values, int own, const OwnKeys<kTileRows>& mine, int tile, float scale_log2) {
  using OwnTile = BoxTile<H, kRows>;
  using Rows = RowTiles<H, kTileRows, kStages>;
  float scores[kTileRows / 2], dp[kTileRows / 2];
  const RowStatistics* const statistics = rows.statistics[stage.index];
  rows.query_ring.wait_full(stage);
  start_products();
  products<H, kRows, kTileRows>(scores, OwnTile::along_rows(keys, own * kOwnRows),
                                Rows::Tile::along_rows(shared_address(rows.queries[stage.index])));
  commit_products();
  rows.gradient_ring.wait_full(stage);
  start_products();
  products<H, kRows, kTileRows>(
      dp, OwnTile::along_rows(values, own * kOwnRows),
      Rows::Tile::along_rows(shared_address(rows.gradients[stage.index])));
  commit_products();
  wait_products<1>();
  pin(scores);
  mine.weigh(scores, statistics, tile, scale_log2);
  wait_products<0>();
  pin(dp);
  mine.differentiate(dp, scores, statistics, tile);
  to_operand(weights, scores);
  to_operand(ds, dp);
}

}  // namespace mixspan::cuda::wgmma_attention
