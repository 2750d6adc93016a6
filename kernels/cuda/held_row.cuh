// A row shared by the threads of a block, each with every blockDim.x-th run of it.
#pragma once

#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

/// Calls body(k, offset) for each run k of the calling thread, which begins at element `offset` of
/// a row of C. kRuns: the most that a thread may have, for arrays in registers; 0: any number.
template <class T, int kRuns, class Body>
__device__ inline void for_own_runs(int C, Body body) {
  const int first = static_cast<int>(threadIdx.x) * kPack<T>;
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  if constexpr (kRuns > 0) {
#pragma unroll
    for (int k = 0; k < kRuns; ++k) {
      if (first + k * step < C) body(k, first + k * step);
    }
  } else {
    for (int k = 0, at = first; at < C; ++k, at += step) body(k, at);
  }
}

/// kRuns > 0: the row is kept in registers. 0: it is read again each time it is looked at.
template <class T, int kRuns>
class HeldRow {
 public:
  __device__ HeldRow(const T* row, int C, bool aligned) {
    for_own_runs<T, kRuns>(C,
                           [&](int k, int at) { runs_[k] = load_run(row + at, C - at, aligned); });
  }
  /// Run k, which begins at `at`. Elements past the end of the row are zeros.
  __device__ void get(float (&x)[kPack<T>], int k, int /*at*/) const { unpack(runs_[k], x); }

 private:
  Run<T> runs_[kRuns]{};
};

template <class T>
class HeldRow<T, 0> {
 public:
  __device__ HeldRow(const T* row, int C, bool aligned) : row_(row), C_(C), aligned_(aligned) {}
  __device__ void get(float (&x)[kPack<T>], int /*k*/, int at) const {
    read_run(x, row_ + at, C_ - at, aligned_);
  }

 private:
  const T* row_;
  int C_;
  bool aligned_;
};

}  // namespace mixspan::cuda
