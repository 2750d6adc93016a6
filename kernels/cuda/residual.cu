#include "kernels/cuda/residual.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kMostThreads = 256;

// A block for each row. y may be x or the residual: a thread reads an element before it writes it.
template <class T>
__global__ void __launch_bounds__(kMostThreads)
    bias_residual_row(Rows<T> y, Rows<const T> x, const T* bias, Rows<const T> residual, int C,
                      bool aligned) {
  const std::int64_t r = blockIdx.x;
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < C; at += step) {
    float from[kPack<T>], b[kPack<T>], add[kPack<T>];
    read_run(from, x[r] + at, C - at, aligned);
    read_run(b, bias + at, C - at, aligned);
    read_run(add, residual[r] + at, C - at, aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) from[i] = (from[i] + b[i]) + add[i];
    write_run(y[r] + at, C - at, aligned, from);
  }
}

}  // namespace

void bias_residual(const Exec& ex, View y, ConstView x, ConstView bias, ConstView residual) {
  const std::int64_t rows = y.dim(0), C = y.dim(1);
  dispatch<float, bf16>("bias_residual", y.dtype(), [&]<class T>() {
    launch(ex, bias_residual_row<T>, blocks_for(rows, 1), threads_for(runs_of<T>(C), kMostThreads),
           0, rows_of<T>(y), rows_of<T>(x), bias.data<T>(), rows_of<T>(residual), to_int(C),
           rows_aligned(y, x, bias, residual));
  });
}

}  // namespace mixspan::cuda
