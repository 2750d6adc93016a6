#include "kernels/cuda/cast.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256, kEach = 8;

template <class To, class From>
__global__ void __launch_bounds__(kThreads)
    cast_runs(To* to, const From* from, std::int64_t n, bool aligned) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kEach;
  if (aligned && at + kEach <= n) {
    float x[kEach];
    load_floats(x, from + at);
    store_floats(to + at, x);
    return;
  }
  for (std::int64_t i = at; i < n && i < at + kEach; ++i) to[i] = from_float<To>(to_float(from[i]));
}

}  // namespace

void cast(const Exec& ex, View to, ConstView from) {
  const std::int64_t n = to.size();
  dispatch<float, bf16>("cast to", to.dtype(), [&]<class To>() {
    dispatch<float, bf16>("cast from", from.dtype(), [&]<class From>() {
      launch(ex, cast_runs<To, From>, blocks_for(n, kThreads * kEach), kThreads, 0, to.data<To>(),
             from.data<From>(), n, starts_aligned(to, from));
    });
  });
}

}  // namespace mixspan::cuda
