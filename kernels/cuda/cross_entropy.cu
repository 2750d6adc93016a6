#include "kernels/cuda/cross_entropy.h"

#include "core/targets.h"
#include "kernels/cuda/softmax_row.cuh"

namespace mixspan::cuda {

namespace {

// A block for each row. With kGradient, Logits is not const and is overwritten.
template <bool kGradient, class T, class Logits>
__global__ void __launch_bounds__(kSoftmaxThreads, 2)
    cross_entropy_row(float* losses, Rows<Logits> logits, const std::int32_t* targets, int V,
                      float scale, bool aligned) {
  __shared__ SoftmaxSlots slots;
  const std::int64_t r = blockIdx.x;
  Logits* const row = logits[r];
  const std::int32_t target = targets[r];
  if (target < 0 || target >= V) {
    const float value = target == kIgnoreTarget ? 0.0f : NAN;
    if (threadIdx.x == 0) losses[r] = value;
    if constexpr (kGradient) fill_row(row, V, aligned, value);
    return;
  }
  const float at_target = to_float(row[target]);  // before a thread overwrites it
  const RowSoftmax softmax = softmax_of<T>(row, V, aligned, slots);
  if (threadIdx.x == 0) {
    // In fp64: near a certain prediction the loss is the difference of two close numbers.
    losses[r] = static_cast<float>(static_cast<double>(softmax.largest) -
                                   static_cast<double>(at_target) + log(softmax.sum));
  }
  if constexpr (kGradient) {
    const auto factor = static_cast<float>(static_cast<double>(scale) / softmax.sum);
    write_gradient(row, V, aligned, softmax.largest, factor, target, scale);
  }
}

}  // namespace

void cross_entropy_forward(const Exec& ex, View losses, ConstView logits, ConstView targets) {
  const std::int64_t rows = logits.dim(0), V = logits.dim(1);
  dispatch<float, bf16>("cross_entropy_forward", logits.dtype(), [&]<class T>() {
    launch(ex, cross_entropy_row<false, T, const T>, blocks_for(rows, 1),
           threads_for(runs_of<T>(V), kSoftmaxThreads), 0, losses.data<float>(), rows_of<T>(logits),
           targets.data<std::int32_t>(), to_int(V), 1.0f, rows_aligned(logits));
  });
}

void cross_entropy_forward_backward(const Exec& ex, View losses, View logits, ConstView targets,
                                    float scale) {
  const std::int64_t rows = logits.dim(0), V = logits.dim(1);
  dispatch<float, bf16>("cross_entropy_forward_backward", logits.dtype(), [&]<class T>() {
    launch(ex, cross_entropy_row<true, T, T>, blocks_for(rows, 1),
           threads_for(runs_of<T>(V), kSoftmaxThreads), 0, losses.data<float>(), rows_of<T>(logits),
           targets.data<std::int32_t>(), to_int(V), scale, rows_aligned(logits));
  });
}

}  // namespace mixspan::cuda
