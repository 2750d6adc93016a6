// Attention backward with wgmma, in one of two ways. Split: two kernels, one for the queries'
// gradients and one for those of keys and values, each of which owns what it writes; 14 products
// for the 10 that are needed, but no sums in memory. Fused: one kernel with 10 products that adds
// shares of dq in memory, in one order, which costs traffic for every token and waiting. Either
// gives the same bits each time.
#include <algorithm>

#include "core/copy.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_wgmma_backward.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

void fused_backward(const Exec& ex, View dq, View dk, View dv, StatisticsRows statistics,
                    ConstView do_, ConstView q, ConstView k, ConstView v, ConstView o,
                    ConstView lse, const AttentionSizes& s) {
  const int rows = QuerySums::tile_rows(s.H), tiles = (s.Tq + rows - 1) / rows;
  const std::int64_t all = std::int64_t{s.B} * s.N * tiles;
  const View data = ex.scratch.allocate("attention sums of dq", {all, QuerySums::kNumbers});
  const View counts = ex.scratch.allocate("attention shares of dq", {all + 1}, DType::i32);
  fill_zero(ex, counts);
  auto* const shares = counts.data<std::int32_t>();
  const QuerySums sums{data.data<float>(), shares, tiles};
  row_statistics(ex, statistics, do_, o, lse, s);
  wgmma_fused_gradients(ex, dk, dv, sums, shares + all, statistics, do_, q, k, v, s);
  query_gradients_of_sums(ex, dq, sums, s);
}

}  // namespace

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
  if (ex.attention_backward == AttentionBackward::fused) {
    return fused_backward(ex, dq, dk, dv, statistics, do_, q, k, v, o, lse, s);
  }
  wgmma_query_gradients(ex, dq, statistics, do_, q, k, v, o, lse, s);
  wgmma_key_gradients(ex, dk, dv, statistics, do_, q, k, v, s);
}

}  // namespace attention_wgmma

}  // namespace mixspan::cuda
