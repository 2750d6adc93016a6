#include "kernels/cuda/ordered_sum.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256;

// bf16 is summed in f32, which `+` of the two would not be.
__device__ float widened(bf16 x) { return static_cast<float>(x); }
template <class T>
__device__ T widened(T x) {
  return x;
}

// A thread for each element; that of the others' pieces r is at r * n.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_pieces(T* own, const T* others, int own_place, int count, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  auto sum = widened(own_place == 0 ? own[i] : others[i]);
  for (int r = 1; r < count; ++r) {
    const T* const piece = r == own_place ? own : others + (r < own_place ? r : r - 1) * n;
    sum += widened(piece[i]);
  }
  own[i] = T(sum);
}

}  // namespace

void sum_in_order(Stream stream, DType dtype, const PiecesOfRanks& pieces, std::int64_t n) {
  dispatch<float, bf16, double, std::int32_t, std::int64_t>(
      "sum over ranks", dtype, [&]<class T>() {
        launch(stream, sum_pieces<T>, blocks_for(n, kThreads), kThreads, 0,
               static_cast<T*>(pieces.own), static_cast<const T*>(pieces.others), pieces.own_place,
               pieces.count, n);
      });
}

}  // namespace mixspan::cuda
