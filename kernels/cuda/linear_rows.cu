#include "kernels/cuda/linear_rows.h"

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256;

// bias and residual may be null. One thread for each element of some rows: this is for products
// that have no epilogue, and for nothing that is large.
template <class T>
__global__ void fill_rows_kernel(T* y, std::int64_t y_stride, const T* bias, const T* residual,
                                 std::int64_t residual_stride, std::int64_t M, std::int64_t F) {
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (col >= F) return;
  const float b = bias == nullptr ? 0.0f : to_float(bias[col]);
  for (std::int64_t row = blockIdx.y; row < M; row += gridDim.y) {
    const float r = residual == nullptr ? 0.0f : to_float(residual[row * residual_stride + col]);
    y[row * y_stride + col] = from_float<T>(b + r);
  }
}

// ---- sums of columns ----------------------------------------------------------------------------
// A block sums a piece of kPiece rows of kLanes * kRun columns: 8 row lanes walk the piece, each
// with kLanes threads beside each other that own kRun columns each.

constexpr int kLanes = 32, kRowLanes = kThreads / kLanes, kPiece = 256, kColumns = 8;
constexpr int kBlockColumns = kLanes * kColumns;

// The `left` (at least 1) columns from p on, of kColumns that a thread owns.
template <class T>
__device__ inline void load_columns(float (&x)[kColumns], const T* p, std::int64_t left,
                                    bool aligned) {
  if (aligned && left >= kColumns) {
    load_floats<kColumns>(x, p);
    return;
  }
#pragma unroll
  for (int i = 0; i < kColumns; ++i) x[i] = i < left ? to_float(p[i]) : 0.0f;
}

// parts(pieces, F): the sums of each piece of rows.
template <class T>
__global__ void __launch_bounds__(kThreads)
    column_parts_kernel(float* parts, const T* v, std::int64_t stride, std::int64_t M,
                        std::int64_t F, bool aligned) {
  __shared__ float lanes[kRowLanes][kBlockColumns];
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int row_lane = static_cast<int>(threadIdx.x) / kLanes;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kBlockColumns;
  const std::int64_t col = first + lane * kColumns;
  float sums[kColumns] = {};
  if (col < F) {
    const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * kPiece;
    const std::int64_t end = begin + kPiece < M ? begin + kPiece : M;
#pragma unroll 4
    for (std::int64_t row = begin + row_lane; row < end; row += kRowLanes) {
      float x[kColumns];
      load_columns(x, v + row * stride + col, F - col, aligned);
#pragma unroll
      for (int i = 0; i < kColumns; ++i) sums[i] += x[i];
    }
  }
#pragma unroll
  for (int i = 0; i < kColumns; ++i) lanes[row_lane][lane * kColumns + i] = sums[i];
  __syncthreads();
  const int mine = static_cast<int>(threadIdx.x);  // one column for each of the 256 threads
  static_assert(kBlockColumns == kThreads);
  if (first + mine >= F) return;
  float sum = lanes[0][mine];
#pragma unroll
  for (int r = 1; r < kRowLanes; ++r) sum += lanes[r][mine];
  parts[static_cast<std::int64_t>(blockIdx.y) * F + first + mine] = sum;
}

__global__ void add_parts_kernel(float* sums, const float* parts, std::int64_t pieces,
                                 std::int64_t F) {
  const std::int64_t col = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (col >= F) return;
  float sum = 0;
  for (std::int64_t p = 0; p < pieces; ++p) sum += parts[p * F + col];
  sums[col] += sum;
}

constexpr std::int64_t kMaxGridY = 65535;

}  // namespace

void fill_rows(const Exec& ex, View y, ConstView bias, ConstView residual) {
  const std::int64_t M = y.dim(0), F = y.dim(1);
  if (!bias.empty()) check_shape("fill_rows: bias", bias, {F});
  if (!residual.empty()) check_shape("fill_rows: residual", residual, y.shape());
  dispatch<float, bf16>("fill_rows", y.dtype(), [&]<class T>() {
    const dim3 grid(blocks_for(F, kThreads), static_cast<unsigned>(std::min(M, kMaxGridY)));
    launch(ex, fill_rows_kernel<T>, grid, dim3(kThreads), 0, y.data<T>(), y.stride(0),
           bias.empty() ? nullptr : bias.data<T>(), residual.empty() ? nullptr : residual.data<T>(),
           residual.empty() ? 0 : residual.stride(0), M, F);
  });
}

void add_column_sums(const Exec& ex, View sums, ConstView v) {
  const std::int64_t M = v.dim(0), F = v.dim(1);
  check_shape("add_column_sums", sums, {F});
  check_dtype("add_column_sums", sums, DType::f32);
  const std::int64_t pieces = (M + kPiece - 1) / kPiece;
  if (pieces == 0 || F == 0) return;
  mixspan::check(pieces <= kMaxGridY, "add_column_sums: {} rows; at most {}", M,
                 kMaxGridY * kPiece);
  const Arena::Scope scope = ex.scratch.scope();
  const View parts = ex.scratch.allocate("sums of columns", {pieces, F});
  dispatch<float, bf16>("add_column_sums", v.dtype(), [&]<class T>() {
    const auto bytes = v.stride(0) * static_cast<std::int64_t>(sizeof(T));
    const bool aligned =
        reinterpret_cast<std::uintptr_t>(v.raw()) % 16 == 0 && (M == 1 || bytes % 16 == 0);
    const dim3 grid(blocks_for(F, kBlockColumns), static_cast<unsigned>(pieces));
    launch(ex, column_parts_kernel<T>, grid, dim3(kThreads), 0, parts.data<float>(), v.data<T>(),
           v.stride(0), M, F, aligned);
  });
  launch(ex, add_parts_kernel, dim3(blocks_for(F, kThreads)), dim3(kThreads), 0, sums.data<float>(),
         parts.data<float>(), pieces, F);
}

}  // namespace mixspan::cuda
