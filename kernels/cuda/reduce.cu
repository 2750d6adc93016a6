#include "kernels/cuda/reduce.h"

#include <limits>

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256;
// The grid follows from the length alone, so that a sum does not depend on the device.
constexpr std::int64_t kMostBlocks = 1024;

// What is reduced: of() of each element and its index, joined by op() from the value start.
struct Sum {
  using Value = double;
  static constexpr Value start = 0;
  __device__ static Value of(float x, std::int64_t) { return static_cast<double>(x); }
  __device__ Value operator()(Value a, Value b) const { return a + b; }
};
struct SumOfSquares : Sum {
  __device__ static Value of(float x, std::int64_t) {
    return static_cast<double>(x) * static_cast<double>(x);
  }
};
struct FirstNonfinite {
  using Value = std::int64_t;
  static constexpr Value start = std::numeric_limits<std::int64_t>::max();
  __device__ static Value of(float x, std::int64_t i) {
    constexpr std::uint32_t kExponent = 0x7f800000u;
    return (std::bit_cast<std::uint32_t>(x) & kExponent) == kExponent ? i : start;
  }
  __device__ Value operator()(Value a, Value b) const { return a < b ? a : b; }
};

// Each thread joins every so many runs, each element of a run in a value of its own; then the
// block's threads are joined.
template <class Reduction, class T>
__global__ void __launch_bounds__(kThreads)
    reduce_pieces(typename Reduction::Value* partial, const T* x, std::int64_t n, bool aligned) {
  constexpr int kEach = kPack<T>;
  const Reduction op;
  typename Reduction::Value own[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) own[i] = Reduction::start;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads * kEach;
  for (std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kEach; at < n;
       at += step) {
    float values[kEach];  // past the end 0, which changes none of the results
    read_run(values, x + at, n - at, aligned);
#pragma unroll
    for (int i = 0; i < kEach; ++i) own[i] = op(own[i], Reduction::of(values[i], at + i));
  }
#pragma unroll
  for (int width = kEach / 2; width > 0; width /= 2) {
#pragma unroll
    for (int i = 0; i < width; ++i) own[i] = op(own[i], own[i + width]);
  }
  const auto all = block_reduce<kThreads>(own[0], op);
  if (threadIdx.x == 0) partial[blockIdx.x] = all;
}

// One block joins the pieces and leaves the result in the first.
template <class Reduction>
__global__ void __launch_bounds__(kThreads)
    reduce_partials(typename Reduction::Value* partial, int pieces) {
  const Reduction op;
  typename Reduction::Value own = Reduction::start;
  for (int p = static_cast<int>(threadIdx.x); p < pieces; p += kThreads) own = op(own, partial[p]);
  own = block_reduce<kThreads>(own, op);
  if (threadIdx.x == 0) partial[0] = own;
}

template <class Reduction>
typename Reduction::Value reduce(const Exec& ex, const ConstView& x) {
  using Value = typename Reduction::Value;
  const std::int64_t n = x.size();
  if (n == 0) return Reduction::start;
  const Arena::Scope scope = ex.scratch.scope();
  const std::int64_t pieces = std::min<std::int64_t>(kMostBlocks, blocks_for(n, kThreads * 4));
  const View partial = ex.scratch.allocate("reduction", {pieces}, dtype_of<Value>());
  dispatch<float, bf16>("reduction", x.dtype(), [&]<class T>() {
    launch(ex, reduce_pieces<Reduction, T>, blocks_for(pieces, 1), kThreads, 0,
           partial.data<Value>(), x.data<T>(), n, starts_aligned(x));
  });
  launch(ex, reduce_partials<Reduction>, 1, kThreads, 0, partial.data<Value>(), to_int(pieces));
  Value result{};
  copy_bytes(ex.stream, &result, partial.raw(), sizeof(Value));
  synchronise(ex.stream);
  return result;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    add_into_runs(T* y, const T* x, std::int64_t n, bool aligned) {
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kPack<T>;
  if (at >= n) return;
  float to[kPack<T>], add[kPack<T>];
  read_run(to, y + at, n - at, aligned);
  read_run(add, x + at, n - at, aligned);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) to[i] += add[i];
  write_run(y + at, n - at, aligned, to);
}

}  // namespace

double sum_of_squares(const Exec& ex, ConstView x) { return reduce<SumOfSquares>(ex, x); }

double sum(const Exec& ex, ConstView x) { return reduce<Sum>(ex, x); }

std::int64_t first_nonfinite(const Exec& ex, ConstView x) {
  const std::int64_t first = reduce<FirstNonfinite>(ex, x);
  return first == FirstNonfinite::start ? -1 : first;
}

void add_into(const Exec& ex, View y, ConstView x) {
  const std::int64_t n = y.size();
  dispatch<float, bf16>("add_into", y.dtype(), [&]<class T>() {
    launch(ex, add_into_runs<T>, blocks_for(n, kThreads * kPack<T>), kThreads, 0, y.data<T>(),
           x.data<T>(), n, starts_aligned(y, x));
  });
}

}  // namespace mixspan::cuda
