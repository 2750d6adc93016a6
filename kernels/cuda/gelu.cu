#include "kernels/cuda/gelu.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256;

// gelu(x) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3): the same as the tanh form, and exact
// where 1 + tanh(u) would cancel.
constexpr float kTwoInner = 1.5957691216057308f;  // 2 sqrt(2/pi)
constexpr float kCubic = 0.044715f;

__device__ inline float gate_of(float x) {
  return 1.0f / (1.0f + expf(-kTwoInner * (x + kCubic * x * x * x)));
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gelu_forward_runs(T* y, const T* x, std::int64_t n, bool aligned) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kPack<T>;
  if (at >= n) return;
  float v[kPack<T>];
  read_run(v, x + at, n - at, aligned);
#pragma unroll
  for (float& e : v) e *= gate_of(e);
  write_run(y + at, n - at, aligned, v);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gelu_backward_runs(T* dx, const T* dy, const T* x, std::int64_t n, bool aligned) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kPack<T>;
  if (at >= n) return;
  float v[kPack<T>], up[kPack<T>];
  read_run(v, x + at, n - at, aligned);
  read_run(up, dy + at, n - at, aligned);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    const float gate = gate_of(v[i]);
    const float slope = kTwoInner * (1.0f + 3 * kCubic * v[i] * v[i]);
    // Far out the gate is exactly 0 or 1 and the slope may be infinite: their product counts as 0.
    const float bend = gate * (1.0f - gate);
    up[i] *= gate + (bend == 0 ? 0.0f : v[i] * bend * slope);
  }
  write_run(dx + at, n - at, aligned, up);
}

}  // namespace

void gelu_forward(const Exec& ex, View y, ConstView x) {
  const std::int64_t n = x.size();
  if (n == 0) return;
  dispatch<float, bf16>("gelu_forward", x.dtype(), [&]<class T>() {
    launch(ex, gelu_forward_runs<T>, blocks_for(n, kThreads * kPack<T>), kThreads, 0, y.data<T>(),
           x.data<T>(), n, starts_aligned(y, x));
  });
}

void gelu_backward(const Exec& ex, View dx, ConstView dy, ConstView x) {
  const std::int64_t n = x.size();
  if (n == 0) return;
  dispatch<float, bf16>("gelu_backward", x.dtype(), [&]<class T>() {
    launch(ex, gelu_backward_runs<T>, blocks_for(n, kThreads * kPack<T>), kThreads, 0, dx.data<T>(),
           dy.data<T>(), x.data<T>(), n, starts_aligned(dx, dy, x));
  });
}

}  // namespace mixspan::cuda
