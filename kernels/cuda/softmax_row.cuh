// What the loss kernels share: the maximum of a row of logits and the sum of its exponentials.
#pragma once

#include "kernels/cuda/block_sums.cuh"
#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

inline constexpr int kSoftmaxThreads = 512;

struct SoftmaxSlots {
  WarpSlots<float> max;
  WarpSlots<double> sum;
};
struct RowSoftmax {
  float largest;
  double sum;  ///< of exp(x - largest)
};

/// The run at `at` of a row of V logits; past the end -infinity.
template <class T>
__device__ inline void read_logits(float (&x)[kPack<T>], const T* row, int at, int V,
                                   bool aligned) {
  read_run(x, row + at, V - at, aligned);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) x[i] = at + i < V ? x[i] : -INFINITY;
}

/// Of one row, by all threads of the block, in one pass. Each thread sums its elements in fp32
/// against the largest it has seen, the threads' sums are joined in fp64. A NaN or +infinity among
/// the logits makes the sum a NaN.
template <class T>
__device__ inline RowSoftmax softmax_of(const T* row, int V, bool aligned, SoftmaxSlots& slots) {
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  float largest = -INFINITY, sum = 0;
#pragma unroll 2
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < V; at += step) {
    float x[kPack<T>];
    read_logits(x, row, at, V, aligned);
    float top = largest;
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) top = fmaxf(top, x[i]);
    const float shift = top == -INFINITY ? 0.0f : top;  // -inf - -inf is no number
    float more = 0;
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) more += expf(x[i] - shift);
    sum = fmaf(sum, expf(largest - shift), more);
    largest = top;
  }
  const float all = over_block(largest, slots.max, Max{});
  const float scaled = sum * expf(largest - (all == -INFINITY ? 0.0f : all));
  return {all, over_block(static_cast<double>(scaled), slots.sum, Add{})};
}

/// Overwrites row with factor * exp(x - largest) less `scale` at column `target` (none where it is
/// outside the row). Walks the row from its end, which softmax_of read last and a cache still
/// holds.
template <class T>
__device__ inline void write_gradient(T* row, int V, bool aligned, float largest, float factor,
                                      std::int64_t target, float scale) {
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  const int first = static_cast<int>(threadIdx.x) * kPack<T>;
  if (first >= V) return;
#pragma unroll 2
  for (int at = first + (V - 1 - first) / step * step; at >= 0; at -= step) {
    float x[kPack<T>];
    read_run(x, row + at, V - at, aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) {
      x[i] = factor * expf(x[i] - largest) - (at + i == target ? scale : 0.0f);
    }
    write_run(row + at, V - at, aligned, x);
  }
}

template <class T>
__device__ inline void fill_row(T* row, int V, bool aligned, float value) {
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  float x[kPack<T>];
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) x[i] = value;
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < V; at += step) {
    write_run(row + at, V - at, aligned, x);
  }
}

}  // namespace mixspan::cuda
