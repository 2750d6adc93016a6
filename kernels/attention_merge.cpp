#include "kernels/attention_merge.h"

#include <cmath>
#include <limits>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/attention_merge.h"

namespace mixspan {

namespace {

constexpr float kReadNothing = -std::numeric_limits<float>::infinity();

// One row of H. The weights are in fp64, so that only their last rounding remains.
void merge_row(float* o, float& lse, const float* part_o, float part_lse, std::int64_t H) {
  if (part_lse == kReadNothing) return;
  if (lse == kReadNothing) {
    std::copy_n(part_o, H, o);
    lse = part_lse;
    return;
  }
  const double ahead = static_cast<double>(part_lse) - static_cast<double>(lse);
  const double ratio = std::exp(-std::abs(ahead));  // of the lesser sum to the greater
  const double greater = 1.0 / (1.0 + ratio), lesser = ratio * greater;
  const auto keep = static_cast<float>(ahead > 0 ? lesser : greater);
  const auto take = static_cast<float>(ahead > 0 ? greater : lesser);
  for (std::int64_t i = 0; i < H; ++i) o[i] = keep * o[i] + take * part_o[i];
  lse = static_cast<float>(static_cast<double>(ahead > 0 ? part_lse : lse) + std::log1p(ratio));
}

}  // namespace

void attention_merge(const Exec& ex, View o, View lse, ConstView part_o, ConstView part_lse) {
  const TraceRange range(ex.tracer, "merge");
  check(o.shape().rank() == 4, "attention merge: wanted o (B, T, N, H), got {}", o.shape().str());
  const std::int64_t B = o.dim(0), T = o.dim(1), N = o.dim(2), H = o.dim(3);
  check_shape("attention merge: lse", lse, {B, N, T});
  check_shape("attention merge: part_o", part_o, o.shape());
  check_shape("attention merge: part_lse", part_lse, lse.shape());
  if (ex.device.is_cuda()) return cuda::attention_merge(ex, o, lse, part_o, part_lse);
  if (ex.oracle) return oracle::attention_merge(o, lse, part_o, part_lse);
  float *to = o.data<float>(), *sums = lse.data<float>();
  const float *from = part_o.data<float>(), *part_sums = part_lse.data<float>();
  for_each_chunk(ex.threads, B * T, rows_per_chunk(N * H), [&](auto begin, auto end, auto) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t b = row / T, t = row % T;
      for (std::int64_t n = 0; n < N; ++n) {
        merge_row(to + b * o.stride(0) + t * o.stride(1) + n * o.stride(2),
                  sums[b * lse.stride(0) + n * lse.stride(1) + t],
                  from + b * part_o.stride(0) + t * part_o.stride(1) + n * part_o.stride(2),
                  part_sums[b * part_lse.stride(0) + n * part_lse.stride(1) + t], H);
      }
    }
  });
}

}  // namespace mixspan
