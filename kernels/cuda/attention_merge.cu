#include "kernels/cuda/attention_merge.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 128;

// (B, T, N, H) with H contiguous, or (B, N, T) with T contiguous.
template <class T>
struct Heads {
  T* data;
  std::int64_t stride[3];
  __device__ T* at(std::int64_t i, std::int64_t j, std::int64_t k) const {
    return data + i * stride[0] + j * stride[1] + k * stride[2];
  }
};
template <class T, class V>
Heads<T> heads_of(const V& v) {
  using Stored = std::remove_const_t<T>;
  return {v.template data<Stored>(), {v.stride(0), v.stride(1), v.stride(2)}};
}

template <class T>
struct Merge {
  Heads<T> o;
  Heads<const T> part_o;
  Heads<float> lse;
  Heads<const float> part_lse;
  std::int64_t rows, T_, N;
  int H;
  bool aligned;
};

// What is kept of o and taken of part_o, and the joint lse.
struct Weights {
  float keep, take, lse;
};
__device__ inline Weights weights_of(float lse, float part_lse) {
  const float nothing = -INFINITY;
  if (part_lse == nothing) return {1, 0, lse};
  if (lse == nothing) return {0, 1, part_lse};
  const float ahead = part_lse - lse;
  const float ratio = expf(-fabsf(ahead));  // of the lesser sum to the greater
  const float greater = 1.0f / (1.0f + ratio), lesser = ratio * greater;
  return {ahead > 0 ? lesser : greater, ahead > 0 ? greater : lesser,
          (ahead > 0 ? part_lse : lse) + log1pf(ratio)};
}

// `lanes` neighbouring threads of a warp (a power of two) have a row of H.
template <class T>
__global__ void __launch_bounds__(kThreads) merge_rows(Merge<T> a, int lanes) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t row = thread / lanes;
  const int lane = static_cast<int>(thread % lanes);
  const bool here = row < a.rows;
  const std::int64_t n = row % a.N, t = row / a.N % a.T_, b = row / a.N / a.T_;
  Weights w{};
  if (here) w = weights_of(*(a.lse.at(b, n, 0) + t), *(a.part_lse.at(b, n, 0) + t));
  __syncwarp();  // all lanes have read lse before one writes it
  if (!here) return;
  if (lane == 0) *(a.lse.at(b, n, 0) + t) = w.lse;
  if (w.take == 0 && w.keep == 1) return;
  T* const to = a.o.at(b, t, n);
  const T* const from = a.part_o.at(b, t, n);
  for (int at = lane * kPack<T>; at < a.H; at += lanes * kPack<T>) {
    float x[kPack<T>], part[kPack<T>];
    read_run(x, to + at, a.H - at, a.aligned);
    read_run(part, from + at, a.H - at, a.aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) {
      // A side that has read no key may hold anything.
      x[i] = w.keep == 0 ? w.take * part[i] : w.keep * x[i] + w.take * part[i];
    }
    write_run(to + at, a.H - at, a.aligned, x);
  }
}

}  // namespace

void attention_merge(const Exec& ex, View o, View lse, ConstView part_o, ConstView part_lse) {
  const std::int64_t rows = o.dim(0) * o.dim(1) * o.dim(2), H = o.dim(3);
  if (rows == 0 || H == 0) return;
  dispatch<float, bf16>("attention merge", o.dtype(), [&]<class T>() {
    int lanes = 1;
    while (lanes < kWarp && lanes < runs_of<T>(H)) lanes *= 2;
    launch(ex, merge_rows<T>, blocks_for(rows * lanes, kThreads), kThreads, 0,
           Merge<T>{.o = heads_of<T>(o),
                    .part_o = heads_of<const T>(part_o),
                    .lse = heads_of<float>(lse),
                    .part_lse = heads_of<const float>(part_lse),
                    .rows = rows,
                    .T_ = o.dim(1),
                    .N = o.dim(2),
                    .H = to_int(H),
                    .aligned = rows_aligned(o, part_o)},
           lanes);
  });
}

}  // namespace mixspan::cuda
