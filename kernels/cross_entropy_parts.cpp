#include "kernels/cross_entropy_parts.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/cross_entropy_parts.h"
#include "kernels/indices.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

struct Part {
  float largest, sum, at_target;
};

Part part_of(const ConstView& parts, std::int64_t shard, std::int64_t row) {
  const float* p = parts.data<float>() + (shard * parts.dim(1) + row) * kCrossEntropyPart;
  return {p[0], p[1], p[2]};
}

// One row's softmax over all shards: in fp64, because near a certain prediction the loss is the
// difference of two close numbers.
struct Row {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0, at_target = largest;
};

Row join(const ConstView& parts, std::int64_t row) {
  Row all;
  for (std::int64_t s = 0; s < parts.dim(0); ++s) {
    const Part part = part_of(parts, s, row);
    all.largest = std::max<double>(all.largest, part.largest);
    all.at_target = std::max<double>(all.at_target, part.at_target);
  }
  for (std::int64_t s = 0; s < parts.dim(0); ++s) {
    const Part part = part_of(parts, s, row);
    all.sum += part.sum * std::exp(part.largest - all.largest);
  }
  return all;
}

void check_parts(const ConstView& parts, std::int64_t rows) {
  check_shape("cross_entropy: parts", parts, {parts.dim(0), rows, kCrossEntropyPart});
  check_contiguous("cross_entropy: parts", parts);
}

}  // namespace

void cross_entropy_part(const Exec& exec, View part, View logits, ConstView targets,
                        VocabShard shard) {
  const TraceRange range(exec.tracer, "cross entropy");
  const std::int64_t rows = logits.dim(0), V = logits.dim(1), vocab = shard.vocab(V);
  check_shape("cross_entropy: part", part, {rows, kCrossEntropyPart});
  check_shape("cross_entropy: targets", targets, {rows});
  check_dtype("cross_entropy: part", part, DType::f32);
  check_dtype("cross_entropy: targets", targets, DType::i32);
  if (exec.device.is_cuda()) return cuda::cross_entropy_part(exec, part, logits, targets, shard);
  check_indices("cross_entropy: target", targets, rows, vocab, IgnoredIndex::is_allowed);
  const std::int32_t* target = targets.data<std::int32_t>();
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, rows, rows_per_chunk(V), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      float* row = logits.data<float>() + r * logits.stride(0);
      float* out = part.data<float>() + r * part.stride(0);
      if (target[r] == kIgnoreTarget) {
        std::fill_n(out, kCrossEntropyPart, 0.0f);
        continue;
      }
      out[0] = ops.max(row, V);
      out[2] = shard.holds(target[r], V) ? row[target[r] - shard.begin]
                                         : -std::numeric_limits<float>::infinity();
      out[1] = static_cast<float>(ops.exp_in_place(row, out[0], V));
    }
  });
}

void cross_entropy_join(const Exec& exec, View losses, ConstView parts, ConstView targets) {
  const TraceRange range(exec.tracer, "cross entropy");
  const std::int64_t rows = targets.dim(0);
  check_shape("cross_entropy: losses", losses, {rows});
  check_parts(parts, rows);
  if (exec.device.is_cuda()) return cuda::cross_entropy_join(exec, losses, parts, targets);
  for_each_chunk(exec.threads, rows, kChunk, [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      float& loss = losses.data<float>()[r];
      loss = 0;
      if (targets.data<std::int32_t>()[r] == kIgnoreTarget) continue;
      const Row row = join(parts, r);
      loss = static_cast<float>(row.largest - row.at_target + std::log(row.sum));
    }
  });
}

void cross_entropy_part_backward(const Exec& exec, View kept, ConstView parts, std::int64_t index,
                                 ConstView targets, VocabShard shard, float scale) {
  const TraceRange range(exec.tracer, "cross entropy");
  const std::int64_t rows = kept.dim(0), V = kept.dim(1);
  check_shape("cross_entropy: targets", targets, {rows});
  check_parts(parts, rows);
  if (exec.device.is_cuda()) {
    return cuda::cross_entropy_part_backward(exec, kept, parts, targets, shard, scale);
  }
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, rows, rows_per_chunk(V), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int32_t target = targets.data<std::int32_t>()[r];
      float* row = kept.data<float>() + r * kept.stride(0);
      if (target == kIgnoreTarget) {
        std::fill(row, row + V, 0.0f);
        continue;
      }
      const Row all = join(parts, r);
      const double own = std::exp(part_of(parts, index, r).largest - all.largest);
      ops.scale(row, static_cast<float>(scale * own / all.sum), V);
      if (shard.holds(target, V)) row[target - shard.begin] -= scale;
    }
  });
}

}  // namespace mixspan
