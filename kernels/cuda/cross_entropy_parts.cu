#include "kernels/cuda/cross_entropy_parts.h"

#include "core/targets.h"
#include "kernels/cross_entropy_parts.h"
#include "kernels/cuda/softmax_row.cuh"

namespace mixspan::cuda {

namespace {

struct Part {
  float largest, sum, at_target;
};

// One row's softmax over all shards, in fp64.
struct JoinedRow {
  float largest = -INFINITY, at_target = -INFINITY;
  double sum = 0;
};
__device__ JoinedRow join(const float* parts, int shards, std::int64_t rows, std::int64_t r) {
  const auto part_of = [&](int s) {
    const float* p = parts + (s * rows + r) * kCrossEntropyPart;
    return Part{p[0], p[1], p[2]};
  };
  JoinedRow all;
  for (int s = 0; s < shards; ++s) {
    const Part part = part_of(s);
    all.largest = fmaxf(all.largest, part.largest);
    // One shard has the target. Not fmaxf: a logit that is no number must show.
    if (part.at_target != -INFINITY) all.at_target = part.at_target;
  }
  for (int s = 0; s < shards; ++s) {
    const Part part = part_of(s);
    all.sum += static_cast<double>(part.sum) *
               exp(static_cast<double>(part.largest) - static_cast<double>(all.largest));
  }
  return all;
}

// The column of `target` among those of the shard; outside them for a target of another one.
__device__ inline std::int64_t column_of(std::int32_t target, std::int64_t begin) {
  return target - begin;
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 2)
    part_of_row(Rows<float> part, Rows<const T> logits, const std::int32_t* targets, int V,
                std::int64_t begin, std::int64_t vocab, bool aligned) {
  __shared__ SoftmaxSlots slots;
  const std::int64_t r = blockIdx.x;
  const std::int32_t target = targets[r];
  float* const out = part[r];
  if (target < 0 || target >= vocab) {
    const float value = target == kIgnoreTarget ? 0.0f : NAN;
    if (threadIdx.x < kCrossEntropyPart) out[threadIdx.x] = value;
    return;
  }
  const RowSoftmax softmax = softmax_of(logits[r], V, aligned, slots);
  if (threadIdx.x != 0) return;
  const std::int64_t column = column_of(target, begin);
  out[0] = softmax.largest;
  out[1] = static_cast<float>(softmax.sum);
  out[2] = column >= 0 && column < V ? to_float(logits[r][column]) : -INFINITY;
}

constexpr int kJoinThreads = 128;

__global__ void __launch_bounds__(kJoinThreads)
    join_rows(float* losses, const float* parts, int shards, const std::int32_t* targets,
              std::int64_t rows) {
  const std::int64_t r = std::int64_t{blockIdx.x} * kJoinThreads + threadIdx.x;
  if (r >= rows) return;
  if (targets[r] == kIgnoreTarget) {
    losses[r] = 0;
    return;
  }
  const JoinedRow row = join(parts, shards, rows, r);
  losses[r] = static_cast<float>(static_cast<double>(row.largest) -
                                 static_cast<double>(row.at_target) + log(row.sum));
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 2)
    part_backward_row(Rows<T> logits, const float* parts, int shards, const std::int32_t* targets,
                      std::int64_t rows, int V, std::int64_t begin, float scale, bool aligned) {
  const std::int64_t r = blockIdx.x;
  const std::int32_t target = targets[r];
  if (target == kIgnoreTarget) return fill_row(logits[r], V, aligned, 0.0f);
  const JoinedRow row = join(parts, shards, rows, r);
  const auto factor = static_cast<float>(static_cast<double>(scale) / row.sum);
  write_gradient(logits[r], V, aligned, row.largest, factor, column_of(target, begin), scale);
}

}  // namespace

void cross_entropy_part(const Exec& ex, View part, ConstView logits, ConstView targets,
                        VocabShard shard) {
  const std::int64_t rows = logits.dim(0), V = logits.dim(1);
  dispatch<float, bf16>("cross_entropy_part", logits.dtype(), [&]<class T>() {
    launch(ex, part_of_row<T>, blocks_for(rows, 1), threads_for(runs_of<T>(V), kSoftmaxThreads), 0,
           rows_of<float>(part), rows_of<T>(logits), targets.data<std::int32_t>(), to_int(V),
           shard.begin, shard.vocab(V), rows_aligned(logits));
  });
}

void cross_entropy_join(const Exec& ex, View losses, ConstView parts, ConstView targets) {
  const std::int64_t rows = targets.dim(0);
  launch(ex, join_rows, blocks_for(rows, kJoinThreads), kJoinThreads, 0, losses.data<float>(),
         parts.data<float>(), to_int(parts.dim(0)), targets.data<std::int32_t>(), rows);
}

void cross_entropy_part_backward(const Exec& ex, View logits, ConstView parts, ConstView targets,
                                 VocabShard shard, float scale) {
  const std::int64_t rows = logits.dim(0), V = logits.dim(1);
  dispatch<float, bf16>("cross_entropy_part_backward", logits.dtype(), [&]<class T>() {
    launch(ex, part_backward_row<T>, blocks_for(rows, 1),
           threads_for(runs_of<T>(V), kSoftmaxThreads), 0, rows_of<T>(logits), parts.data<float>(),
           to_int(parts.dim(0)), targets.data<std::int32_t>(), rows, to_int(V), shard.begin, scale,
           rows_aligned(logits));
  });
}

}  // namespace mixspan::cuda
