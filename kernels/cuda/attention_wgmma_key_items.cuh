// The work of the wgmma kernels whose blocks own 128 keys and walk the tiles of queries that read
// them: how it comes into shared memory, and how its results leave.
#pragma once

#include "kernels/cuda/attention_wgmma_row_tiles.cuh"

namespace mixspan::cuda::wgmma_attention {

/// 128 keys of a key head, and the tiles [begin, end) of query rows that read them.
struct KeyItem {
  int b, head, first, begin, end;

  __device__ static KeyItem of(const AttentionSizes& s, const BlockOrder& order, int item,
                               int tile_rows) {
    const BlockOrder::Place place = order.place(item);
    const int b = place.head / s.K, first = place.tile * kRows;
    const Range keys = {s.first_key + first, s.first_key + min(first + kRows, s.Tk)};
    const Range tiles =
        tiles_of(s.query_rows(visible_queries(s.sequence(b), keys, s.held_queries())), tile_rows);
    return {b, place.head % s.K, first, static_cast<int>(tiles.begin), static_cast<int>(tiles.end)};
  }
};

struct KeyMaps {
  TensorMap q, do_, k, v, dk, dv;

  static KeyMaps of(const ConstView& q, const ConstView& do_, const ConstView& k,
                    const ConstView& v, const View& dk, const View& dv, int tile_rows) {
    return {head_rows_map(q, tile_rows), head_rows_map(do_, tile_rows),
            head_rows_map(k, kRows),     head_rows_map(v, kRows),
            head_rows_map(dk, kOwnRows), head_rows_map(dv, kOwnRows)};
  }
};

/// What the blocks have in shared memory of an item. At the end dk and dv take the place of keys
/// and values.
template <int H, int kTileRows, int kStages>
struct KeyItemShared {
  using OwnTile = BoxTile<H, kRows>;
  unsigned char keys[OwnTile::kBytes], values[OwnTile::kBytes];
  RowTiles<H, kTileRows, kStages> rows;
  Ring<1> key_ring;

  __device__ void init(int readers) {
    key_ring.init(readers);
    rows.init(2 * kWarpgroup / 32);
  }
  /// One thread starts the copies of keys and values, which `own` already expects, and of all tiles
  /// of rows.
  __device__ void copy_in(const KeyMaps& maps, const AttentionSizes& s,
                          const StatisticsRows& statistics, const KeyItem& work, Barrier* own,
                          Stage<kStages>& stage) {
    OwnTile::copy_in(keys, maps.k, own, work.first, work.head, work.b);
    OwnTile::copy_in(values, maps.v, own, work.first, work.head, work.b);
    for (int g = 0; g < s.group; ++g) {
      const int n = work.head * s.group + g;
#pragma unroll 1
      for (int tile = work.begin; tile < work.end; ++tile, stage.next()) {
        rows.copy_in(stage, maps.q, maps.do_, statistics.at(s, work.b, n), tile, n, work.b);
      }
    }
  }
  /// A warpgroup writes its keys' dk and dv, where nobody needs its rows of keys and values any
  /// more, and gives the tiles back.
  __device__ void copy_out(const KeyMaps& maps, const KeyItem& work, int own, float scale,
                           const float (&dk)[H / 2], const float (&dv)[H / 2]) {
    const int first = work.first + own * kOwnRows, at = own * kOwnRows;
    const float scales[2] = {scale, scale}, ones[2] = {1.0f, 1.0f};
    copy_rows_out<H, kRows>(keys, at, own, maps.dk, first, work.head, work.b, dk, scales);
    copy_rows_out<H, kRows>(values, at, own, maps.dv, first, work.head, work.b, dv, ones);
    if (threadIdx.x % kWarpgroup == 0) {
      wait_copies_out_read();
      barrier_arrive(&key_ring.empty[0]);
    }
  }
};

}  // namespace mixspan::cuda::wgmma_attention
