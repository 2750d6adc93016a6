#include "kernels/cuda/copy_rows.h"

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kMostThreads = 256;

// (B, n, C): where row i of the B n rows begins.
template <class T>
struct Pieces {
  T* data;
  std::int64_t n, piece_stride, row_stride;
  __device__ T* operator[](std::int64_t i) const {
    return data + i / n * piece_stride + i % n * row_stride;
  }
};

// Bit for bit; what a copy brings may be no number.
struct Copy {
  template <class T>
  __device__ static Run<T> of(const T* /*to*/, const T* from, std::int64_t left, bool aligned) {
    return load_run(from, left, aligned);
  }
};
struct Clear {
  template <class T>
  __device__ static Run<T> of(const T*, const T*, std::int64_t, bool) {
    return {};
  }
};

template <class Change, class T>
__global__ void __launch_bounds__(kMostThreads)
    change_row(Pieces<T> to, Pieces<const T> from, int C, bool aligned) {
  const std::int64_t row = blockIdx.x;
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < C; at += step) {
    T* const p = to[row] + at;
    store_run(p, C - at, aligned, Change::of(p, from[row] + at, C - at, aligned));
  }
}

template <class T>
__global__ void __launch_bounds__(kMostThreads)
    add_row(Pieces<T> to, Pieces<const T> from, int C, bool aligned) {
  const std::int64_t row = blockIdx.x;
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < C; at += step) {
    float sum[kPack<T>], add[kPack<T>];
    T* const p = to[row] + at;
    read_run(sum, p, C - at, aligned);
    read_run(add, from[row] + at, C - at, aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) sum[i] += add[i];
    write_run(p, C - at, aligned, sum);
  }
}

// Calls body(to, from, C, aligned, blocks, threads).
template <class Body>
void with_rows(const View& to, const ConstView& from, Body body) {
  const std::int64_t rows = to.dim(0) * to.dim(1), C = to.dim(2) * to.dim(3);
  if (rows == 0 || C == 0) return;
  dispatch<float, bf16>("rows", to.dtype(), [&]<class T>() {
    // Heads of a row lie together, so only the first two dims decide where rows begin.
    body(Pieces<T>{to.data<T>(), to.dim(1), to.stride(0), to.stride(1)},
         Pieces<const T>{from.data<T>(), from.dim(1), from.stride(0), from.stride(1)}, to_int(C),
         rows_aligned(to.select(2, 0), from.select(2, 0)), blocks_for(rows, 1),
         threads_for(runs_of<T>(C), kMostThreads));
  });
}

}  // namespace

void copy_rows(const Exec& ex, View to, ConstView from) {
  with_rows(to, from,
            [&]<class T>(Pieces<T> y, Pieces<const T> x, int C, bool aligned, unsigned blocks,
                         int threads) {
              launch(ex, change_row<Copy, T>, blocks, threads, 0, y, x, C, aligned);
            });
}

void clear_rows(const Exec& ex, View to) {
  with_rows(to, to,
            [&]<class T>(Pieces<T> y, Pieces<const T> x, int C, bool aligned, unsigned blocks,
                         int threads) {
              launch(ex, change_row<Clear, T>, blocks, threads, 0, y, x, C, aligned);
            });
}

void add_rows(const Exec& ex, View to, ConstView from) {
  with_rows(
      to, from,
      [&]<class T>(Pieces<T> y, Pieces<const T> x, int C, bool aligned, unsigned blocks,
                   int threads) { launch(ex, add_row<T>, blocks, threads, 0, y, x, C, aligned); });
}

}  // namespace mixspan::cuda
