// Attention backward with wgmma: two kernels, one for the queries' gradients and one for those of
// keys and values, each of which owns what it writes. 14 products for the 10 that one kernel would
// need, but no sums in memory: the same bits each time.
#include <algorithm>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_wgmma_backward.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace attention_wgmma {

void backward(const Exec& ex, View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
              ConstView v, ConstView o, ConstView lse, const AttentionRule& rule) {
  const AttentionSizes s = attention_sizes(q, k, rule);
  mixspan::check(s.H == 64 || s.H == 128, "attention_wgmma: heads of 64 or 128 channels, not {}",
                 s.H);
  const std::int64_t padded = std::max(s.Tq + kRows - 1, kRows) / kRows * kRows;
  auto scope = ex.scratch.scope();
  const View rows = ex.scratch.allocate("attention row statistics", {s.B, s.N, padded, 2});
  const StatisticsRows statistics{static_cast<RowStatistics*>(rows.raw()), padded};
  wgmma_query_gradients(ex, dq, statistics, do_, q, k, v, o, lse, s);
  wgmma_key_gradients(ex, dk, dv, statistics, do_, q, k, v, s);
}

}  // namespace attention_wgmma

}  // namespace mixspan::cuda
