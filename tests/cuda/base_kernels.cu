#include "tests/cuda/base_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace mixspan::test {

namespace {

using namespace mixspan::cuda;

constexpr int kThreads = 128;

template <class T>
__global__ void __launch_bounds__(kThreads) row_sums_kernel(float* out, const T* in, int columns) {
  const T* row = in + static_cast<std::int64_t>(blockIdx.x) * columns;
  float sum = 0;
  for (int c = static_cast<int>(threadIdx.x) * 8; c < columns; c += kThreads * 8) {
    float x[8];
    load_floats(x, row + c);
    for (int i = 0; i < 8; ++i) sum += x[i];
  }
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads)
    row_maxima_kernel(float* out, const float* in, int columns) {
  const float* row = in + static_cast<std::int64_t>(blockIdx.x) * columns;
  float largest = -INFINITY;
  for (int c = static_cast<int>(threadIdx.x); c < columns; c += kThreads) {
    largest = fmaxf(largest, row[c]);
  }
  largest = block_max<kThreads>(largest);
  if (threadIdx.x == 0) out[blockIdx.x] = largest;
}

template <class To, class From>
__global__ void __launch_bounds__(kThreads) convert_kernel(To* to, const From* from, int packs) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= packs) return;
  float x[8];
  load_floats(x, from + i * 8);
  store_floats(to + i * 8, x);
}

__global__ void __launch_bounds__(kThreads) reverse_kernel(std::int32_t* out, int n) {
  auto* shared = dynamic_shared<std::int32_t>();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) shared[i] = i;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) out[i] = shared[n - 1 - i];
}

}  // namespace

void row_sums(const Exec& ex, View out, ConstView in) {
  dispatch<float, bf16>("row_sums", in.dtype(), [&]<class T>() {
    launch(ex, row_sums_kernel<T>, dim3(blocks_for(in.dim(0), 1)), dim3(kThreads), 0,
           out.data<float>(), in.data<T>(), to_int(in.dim(1)));
  });
}

void row_maxima(const Exec& ex, View out, ConstView in) {
  launch(ex, row_maxima_kernel, dim3(blocks_for(in.dim(0), 1)), dim3(kThreads), 0,
         out.data<float>(), in.data<float>(), to_int(in.dim(1)));
}

void convert(const Exec& ex, View to, ConstView from) {
  dispatch<float, bf16>("convert", to.dtype(), [&]<class To>() {
    dispatch<float, bf16>("convert", from.dtype(), [&]<class From>() {
      const std::int64_t packs = from.size() / 8;
      launch(ex, convert_kernel<To, From>, dim3(blocks_for(packs, kThreads)), dim3(kThreads), 0,
             to.data<To>(), from.data<From>(), to_int(packs));
    });
  });
}

void reverse_in_shared(const Exec& ex, View out, std::size_t bytes) {
  launch(ex, reverse_kernel, dim3(1), dim3(kThreads), bytes, out.data<std::int32_t>(),
         to_int(out.size()));
}

void launch_too_many_threads(const Exec& ex) {
  launch(ex, reverse_kernel, dim3(1), dim3(2048), 0, static_cast<std::int32_t*>(nullptr), 0);
}

}  // namespace mixspan::test
