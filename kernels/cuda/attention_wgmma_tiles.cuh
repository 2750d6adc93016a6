// Tiles that the copy engine brings and the warpgroups multiply, and who waits for whom: what the
// wgmma attention kernels share. A block has three warpgroups: one starts the copies, two compute
// 64 rows each.
#pragma once

#include "kernels/cuda/attention_mma_walk.cuh"
#include "kernels/cuda/ptx_convert.cuh"
#include "kernels/cuda/ptx_sm90_wgmma.cuh"
#include "kernels/cuda/shared.cuh"

namespace mixspan::cuda::wgmma_attention {

using mma::BlockOrder;
using mma::Bounds;
using mma::kLog2e;
using mma::TileWalk;

inline constexpr int kWarpgroup = 128, kThreads = 3 * kWarpgroup, kRows = 128, kOwnRows = 64;
inline constexpr float kNever = -__builtin_huge_valf();
/// Registers of a thread: a launch has 168 for each, and what the 128 that copy give back, the 256
/// that compute may take: copy + 2 compute <= 504. A wide copy finds its tiles by more arithmetic.
inline constexpr int kCopyRegisters = 24, kComputeRegisters = 240;
inline constexpr int kWideCopyRegisters = 40, kLessComputeRegisters = 232;
/// Numbers of named barriers: of each computing warpgroup, whose turn it is to start products, and
/// of both computing warpgroups.
inline constexpr int kOwnBarrier = 1, kTurnBarrier = 3, kPairBarrier = 5;

/// kTileRows rows of H bf16 in shared memory: H / 64 boxes of 128-byte rows.
template <int H, int kTileRows>
struct BoxTile {
  static constexpr int kBoxes = H / kBoxColumns, kBoxBytes = kTileRows * 128;
  static constexpr int kBytes = kBoxes * kBoxBytes;

  /// The tile as a matrix whose k runs along the rows; its m or n begins at row `first`.
  __device__ static std::uint64_t along_rows(SharedAddress tile, int first = 0) {
    return matrix_at(tile + first * 128, 16, 1024);
  }
  /// What to add to it for its k-th 16 columns.
  __device__ static constexpr int columns_step(int k) {
    return (k / 4 * kBoxBytes + k % 4 * 32) >> 4;
  }
  /// The tile as a b whose k runs over the rows and whose n along them.
  __device__ static std::uint64_t across_rows(SharedAddress tile) {
    return matrix_at(tile, kBoxBytes, 1024);
  }
  /// What to add to it for its k-th 16 rows.
  __device__ static constexpr int rows_step(int k) { return (k * 16 * 128) >> 4; }

  /// Where a lane's row of ldmatrix and stmatrix begins, for the 16 rows from `first` and the k-th
  /// 16 columns.
  __device__ static SharedAddress lane_row(SharedAddress tile, int first, int k, int lane) {
    const int row = first + (lane & 15), piece = 2 * (k % 4) + (lane >> 4);
    return tile + k / 4 * kBoxBytes + row * 128 + ((piece ^ (row & 7)) << 4);
  }

  /// One thread starts the copy of rows row .. row + kTileRows - 1; the barrier already expects
  /// them.
  __device__ static void copy_in(unsigned char* tile, const TensorMap& map, Barrier* b, int row,
                                 int head, int sequence) {
#pragma unroll
    for (int i = 0; i < kBoxes; ++i) {
      copy_box_in(tile + i * kBoxBytes, map, b, i * kBoxColumns, row, head, sequence);
    }
  }
};

/// d (64 x N) (+)= rows columns^T over H: both tiles along their rows.
template <int H, int kTileA, int kTileB, int N>
__device__ inline void products(float (&d)[N], std::uint64_t a, std::uint64_t b) {
#pragma unroll
  for (int k = 0; k < H / 16; ++k) {
    wgmma<Major::k>(d, a + BoxTile<H, kTileA>::columns_step(k),
                    b + BoxTile<H, kTileB>::columns_step(k), k > 0);
  }
}
/// The same with the rows in registers.
template <int H, int kTileB, int N>
__device__ inline void products(float (&d)[N], const std::uint32_t (&a)[H / 16][4],
                                std::uint64_t b) {
#pragma unroll
  for (int k = 0; k < H / 16; ++k) {
    wgmma<Major::k>(d, a[k], b + BoxTile<H, kTileB>::columns_step(k), k > 0);
  }
}
/// d (64 x H) += w tile, w (64 x 16 kDepth) in registers.
template <int H, int kDepth>
__device__ inline void add_weighted(float (&d)[H / 2], const std::uint32_t (&w)[kDepth][4],
                                    std::uint64_t tile) {
#pragma unroll
  for (int k = 0; k < kDepth; ++k) {
    wgmma<Major::mn>(d, w[k], tile + BoxTile<H, 16 * kDepth>::rows_step(k), true);
  }
}

/// Sums of products as an operand of the next ones, rounded to bf16.
template <int kDepth>
__device__ inline void to_operand(std::uint32_t (&a)[kDepth][4], const float (&d)[8 * kDepth]) {
#pragma unroll
  for (int k = 0; k < kDepth; ++k) {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[k][i] = bf16x2_bits(d[8 * k + 2 * i], d[8 * k + 2 * i + 1]);
  }
}

template <int N>
__device__ inline void clear(float (&d)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) d[i] = 0;
}

/// Over the four lanes that hold one row.
__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/// A warpgroup writes its 64 rows d * factors[half] as bf16 to rows row.. of (b, :, head, :),
/// through `tile` (BoxTile<H, kTileRows>), whose rows first .. first + 63 nobody else uses. `own`:
/// the warpgroup's number. The calling thread's copies may still read the tile at the end.
template <int H, int kTileRows>
__device__ inline void copy_rows_out(unsigned char* tile, int first, int own, const TensorMap& map,
                                     int row, int head, int sequence, const float (&d)[H / 2],
                                     const float (&factors)[2]) {
  using Tile = BoxTile<H, kTileRows>;
  const int thread = threadIdx.x % kWarpgroup, lane = thread % 32;
  const SharedAddress address = shared_address(tile);
#pragma unroll
  for (int k = 0; k < H / 16; ++k) {
    std::uint32_t r[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      r[i] = bf16x2_bits(d[8 * k + 2 * i] * factors[i % 2], d[8 * k + 2 * i + 1] * factors[i % 2]);
    }
    store_matrices(Tile::lane_row(address, first + thread / 32 * 16, k, lane), r);
  }
  show_to_copies();
  named_barrier_sync(kOwnBarrier + own, kWarpgroup);
  if (thread == 0) {
#pragma unroll
    for (int i = 0; i < Tile::kBoxes; ++i) {
      copy_box_out(map, tile + i * Tile::kBoxBytes + first * 128, i * kBoxColumns, row, head,
                   sequence);
    }
    commit_copies_out();
  }
}

}  // namespace mixspan::cuda::wgmma_attention
