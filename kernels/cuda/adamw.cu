#include "kernels/cuda/adamw.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256, kEach = kPack<float>;

// Where the numbers lie; rounded may be null.
struct Arrays {
  float *w, *m, *v;
  const float* g;
  bf16* rounded;
};

__global__ void __launch_bounds__(kThreads)
    adamw_runs(Arrays a, simd::AdamWFactors f, std::int64_t n, bool aligned) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kEach;
  if (at >= n) return;
  const std::int64_t left = n - at;
  float w[kEach], m[kEach], v[kEach], g[kEach];
  read_run(w, a.w + at, left, aligned);
  read_run(m, a.m + at, left, aligned);
  read_run(v, a.v + at, left, aligned);
  read_run(g, a.g + at, left, aligned);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const float gradient = g[i] * f.grad_scale;
    m[i] = f.beta1 * m[i] + f.one_minus_beta1 * gradient;
    v[i] = f.beta2 * v[i] + f.one_minus_beta2 * gradient * gradient;
    const float step = f.lr_m * m[i] / (sqrtf(v[i] * f.inv_c2) + f.eps);
    w[i] -= step + f.lr_wd * w[i];
  }
  write_run(a.w + at, left, aligned, w);
  write_run(a.m + at, left, aligned, m);
  write_run(a.v + at, left, aligned, v);
  if (a.rounded == nullptr) return;
  if (aligned && left >= kEach) return store_floats(a.rounded + at, w);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (i < left) a.rounded[at + i] = from_float<bf16>(w[i]);
  }
}

}  // namespace

void adamw(const Exec& ex, View w, View m, View v, ConstView g, const simd::AdamWFactors& factors,
           View rounded) {
  const std::int64_t n = w.size();
  const Arrays arrays{w.data<float>(), m.data<float>(), v.data<float>(), g.data<float>(),
                      rounded.empty() ? nullptr : rounded.data<bf16>()};
  const bool aligned =
      starts_aligned(w, m, v, g) &&
      reinterpret_cast<std::uintptr_t>(rounded.raw()) % (kEach * sizeof(bf16)) == 0;
  launch(ex, adamw_runs, blocks_for(n, kThreads * kEach), kThreads, 0, arrays, factors, n, aligned);
}

}  // namespace mixspan::cuda
