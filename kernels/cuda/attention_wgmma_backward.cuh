// What the two wgmma backward kernels tell each other.
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

/// Overwrites dq and the statistics.
void wgmma_query_gradients(const Exec&, View dq, StatisticsRows statistics, ConstView do_,
                           ConstView q, ConstView k, ConstView v, ConstView o, ConstView lse,
                           const AttentionSizes&);
/// Overwrites dk and dv, from the statistics.
void wgmma_key_gradients(const Exec&, View dk, View dv, StatisticsRows statistics, ConstView do_,
                         ConstView q, ConstView k, ConstView v, const AttentionSizes&);

}  // namespace mixspan::cuda::wgmma_attention
