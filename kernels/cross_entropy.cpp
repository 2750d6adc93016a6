#include "kernels/cross_entropy.h"

#include <cmath>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/indices.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

void check_shapes(const ConstView& losses, const ConstView& logits, const ConstView& targets) {
  const std::int64_t rows = logits.dim(0);
  check_shape("cross_entropy: losses", losses, {rows});
  check_dtype("cross_entropy: losses", losses, DType::f32);
  check_shape("cross_entropy: targets", targets, {rows});
  check_dtype("cross_entropy: targets", targets, DType::i32);
}

void check_targets(const ConstView& logits, const ConstView& targets) {
  check_indices("cross_entropy: target", targets, logits.dim(0), logits.dim(1),
                IgnoredIndex::is_allowed);
}

// max + log(sum) in fp64: near a certain prediction the loss is the difference of two close
// numbers.
float loss_of(float max, double sum, float at_target) {
  return static_cast<float>(static_cast<double>(max) - at_target + std::log(sum));
}

}  // namespace

void cross_entropy_forward(const Exec& exec, View losses, ConstView logits, ConstView targets) {
  const TraceRange range(exec.tracer, "cross entropy");
  check_shapes(losses, logits, targets);
  if (exec.device.is_cuda()) return cuda::cross_entropy_forward(exec, losses, logits, targets);
  if (exec.oracle) return oracle::cross_entropy_forward(losses, logits, targets);
  check_targets(logits, targets);
  const std::int64_t rows = logits.dim(0), V = logits.dim(1);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, rows, rows_per_chunk(V), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int32_t target = targets.data<std::int32_t>()[r];
      float& loss = losses.data<float>()[r];
      loss = 0;
      if (target == kIgnoreTarget) continue;
      const float* row = logits.data<float>() + r * logits.stride(0);
      const float max = ops.max(row, V);
      loss = loss_of(max, ops.sum_exp(row, max, V), row[target]);
    }
  });
}

void cross_entropy_forward_backward(const Exec& exec, View losses, View logits, ConstView targets,
                                    float scale) {
  const TraceRange range(exec.tracer, "cross entropy");
  check_shapes(losses, logits, targets);
  if (exec.device.is_cuda()) {
    return cuda::cross_entropy_forward_backward(exec, losses, logits, targets, scale);
  }
  if (exec.oracle) return oracle::cross_entropy_forward_backward(losses, logits, targets, scale);
  check_targets(logits, targets);
  const std::int64_t rows = logits.dim(0), V = logits.dim(1);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, rows, rows_per_chunk(V), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int32_t target = targets.data<std::int32_t>()[r];
      float* row = logits.data<float>() + r * logits.stride(0);
      float& loss = losses.data<float>()[r];
      if (target == kIgnoreTarget) {
        loss = 0;
        std::fill(row, row + V, 0.0f);
        continue;
      }
      const float max = ops.max(row, V), at_target = row[target];
      const double sum = ops.exp_in_place(row, max, V);
      loss = loss_of(max, sum, at_target);
      ops.scale(row, static_cast<float>(scale / sum), V);
      row[target] -= scale;
    }
  });
}

}  // namespace mixspan
