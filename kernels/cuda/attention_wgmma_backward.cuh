// What the wgmma backward kernels tell each other.
#pragma once

#include "core/exec.h"
#include "kernels/cuda/attention_wgmma_ring.cuh"

namespace mixspan::cuda::wgmma_attention {

/// Of a query row: log2 of the sum of exp2(scores), +infinity where there is no row or it reads no
/// key, so that all its weights are 0; and the sum over the head of do * o.
struct RowStatistics {
  float lse2, delta;
};

/// RowStatistics of rows (B, N, padded), padded a multiple of kRows.
struct StatisticsRows {
  RowStatistics* data;
  std::int64_t padded;

  __device__ RowStatistics* at(const AttentionSizes& s, int b, int n) const {
    return data + (std::int64_t{b} * s.N + n) * padded;
  }
};

/// sum + a b of two pairs of bf16, the first halves first.
__device__ inline float add_products(float sum, std::uint32_t a, std::uint32_t b) {
  constexpr std::uint32_t high = 0xffff0000u;
  sum = fmaf(__uint_as_float(a << 16), __uint_as_float(b << 16), sum);
  return fmaf(__uint_as_float(a & high), __uint_as_float(b & high), sum);
}

/// dq of each tile of query rows as a sum in fp32, without the scale, (B, N, tiles, kNumbers): four
/// numbers after the other of each thread, as it holds a product of 64 x 64. And how many shares
/// each sum has got.
struct QuerySums {
  static constexpr int kNumbers = 2 * 64 * 64, kQuads = 8;

  float* data;
  std::int32_t* shares;
  int tiles;

  static constexpr int tile_rows(int H) { return kNumbers / H; }
  /// The 64 x 64 of each warpgroup: beside the other's where heads have 128 channels, else below
  /// it.
  static constexpr int first_row(int H, int own) { return H == 128 ? 0 : own * kOwnRows; }
  static constexpr int first_box(int H, int own) { return H == 128 ? own : 0; }
  /// Which four numbers of a tile are those of a thread's elements 4 quad .. 4 quad + 3.
  static constexpr int place(int quad, int own, int thread) {
    return (2 * quad + own) * kWarpgroup + thread;
  }
  __host__ __device__ std::int64_t index(const AttentionSizes& s, int b, int n, int tile) const {
    return (std::int64_t{b} * s.N + n) * tiles + tile;
  }
  __device__ float* at(std::int64_t index) const { return data + index * kNumbers; }
};

/// The key tiles (128 keys) that have a share in the dq of a tile of query rows. Their shares are
/// added from the last to the first.
__device__ inline Range sharers_of(const AttentionSizes& s, int b, int tile, int tile_rows) {
  const int row = tile * tile_rows;
  const Range queries = s.positions({row, min(row + tile_rows, s.Tq)});
  return tiles_of(s.key_rows(intersection(visible_keys(s.sequence(b), queries), s.held_keys())),
                  kRows);
}

/// Overwrites dq and the statistics.
void wgmma_query_gradients(const Exec&, View dq, StatisticsRows statistics, ConstView do_,
                           ConstView q, ConstView k, ConstView v, ConstView o, ConstView lse,
                           const AttentionSizes&);
/// Overwrites dk and dv, from the statistics.
void wgmma_key_gradients(const Exec&, View dk, View dv, StatisticsRows statistics, ConstView do_,
                         ConstView q, ConstView k, ConstView v, const AttentionSizes&);

/// Instead of the two: overwrites the statistics; then dk, dv and the sums, of which `shares` and
/// `ticket` (one number) must be zero before; then dq from the sums.
void row_statistics(const Exec&, StatisticsRows statistics, ConstView do_, ConstView o,
                    ConstView lse, const AttentionSizes&);
void wgmma_fused_gradients(const Exec&, View dk, View dv, QuerySums sums, std::int32_t* ticket,
                           StatisticsRows statistics, ConstView do_, ConstView q, ConstView k,
                           ConstView v, const AttentionSizes&);
void query_gradients_of_sums(const Exec&, View dq, QuerySums sums, const AttentionSizes&);

}  // namespace mixspan::cuda::wgmma_attention
