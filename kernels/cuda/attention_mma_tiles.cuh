// Tiles of rows in shared memory, their products on the tensor cores, and which tiles a block
// visits: what the mma attention kernels share.
#pragma once

#include "kernels/cuda/attention_arguments.cuh"
#include "kernels/cuda/ptx_convert.cuh"
#include "kernels/cuda/ptx_sm80.cuh"

namespace mixspan::cuda::mma {

inline constexpr float kLog2e = 1.4426950408889634f;

/// Rows of H bf16 in shared memory. The 16-byte pieces of a row are exchanged by its number, so
/// that eight rows' pieces of one number, which ldmatrix reads at a time, lie in different banks.
template <int H>
struct Tile {
  static_assert(H % 32 == 0);
  static constexpr int kRowBytes = 2 * H, kPieces = H / 8;

  __device__ static constexpr int twist(int row) { return H % 64 == 0 ? row & 7 : (row >> 1) & 3; }
  /// Bytes from the tile's begin to a piece.
  __device__ static constexpr int offset(int row, int piece) {
    return row * kRowBytes + ((piece ^ twist(row)) << 4);
  }
};

/// Where a lane's row of ldmatrix begins: pairs of pieces (2 k, 2 k + 1) of 16 rows from the row
/// given. Other rows are multiples of 16 rows away, by which twist() repeats.
template <int H>
struct Fragments {
  SharedAddress row;
  int piece;

  /// a of mma from rows as they are; also b from rows that its k runs over, transposed.
  __device__ static Fragments of_rows(SharedAddress tile, int first, int lane) {
    const int r = first + (lane & 15);
    return {tile + r * Tile<H>::kRowBytes, ((lane >> 4) ^ Tile<H>::twist(r)) << 4};
  }
  /// b of two mma from rows that its n runs over.
  __device__ static Fragments of_columns(SharedAddress tile, int first, int lane) {
    const int r = first + (lane & 7) + ((lane >> 4) << 3);
    return {tile + r * Tile<H>::kRowBytes, (((lane >> 3) & 1) ^ Tile<H>::twist(r)) << 4};
  }
  __device__ SharedAddress at(int sixteen_rows, int pair) const {
    return row + (sixteen_rows * 16 * Tile<H>::kRowBytes + ((pair * 32) ^ piece));
  }
  __device__ Fragments moved(int bytes) const { return {row + bytes, piece}; }
};

/// Rows of a row-major matrix as a of mma, all H of them, kept in registers.
template <int H, int kRowTiles>
struct KeptRows {
  std::uint32_t a[kRowTiles][H / 16][4];

  __device__ void load(const Fragments<H>& from) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int k = 0; k < H / 16; ++k) ldmatrix(a[m][k], from.at(m, k));
    }
  }
  __device__ void read(std::uint32_t (&to)[4], int m, int k) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) to[i] = a[m][k][i];
  }
};
/// The same, read from shared memory each time.
template <int H, int kRowTiles>
struct SharedRows {
  Fragments<H> from;

  __device__ void load(const Fragments<H>& rows) { from = rows; }
  __device__ void read(std::uint32_t (&to)[4], int m, int k) const { ldmatrix(to, from.at(m, k)); }
};

template <int kRowTiles, int kColumnTiles>
__device__ inline void clear(float (&c)[kRowTiles][kColumnTiles][4]) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) c[m][n][i] = 0;
    }
  }
}

/// c (16 kRowTiles x 8 kColumnTiles) += rows columns^T over the H elements of each.
template <int H, int kRowTiles, int kColumnTiles, class Rows>
__device__ inline void add_product(float (&c)[kRowTiles][kColumnTiles][4], const Rows& rows,
                                   const Fragments<H>& columns) {
#pragma unroll
  for (int k = 0; k < H / 16; ++k) {
    std::uint32_t a[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) rows.read(a[m], m, k);
#pragma unroll
    for (int n = 0; n < kColumnTiles / 2; ++n) {
      std::uint32_t b[4];
      ldmatrix(b, columns.at(n, k));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        mma_16x8x16(c[m][2 * n], a[m], b[0], b[1]);
        mma_16x8x16(c[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// c (16 kRowTiles x H) += w rows: w (16 kRowTiles x 16 kDepth) is rounded to bf16.
template <int H, int kRowTiles, int kColumnTiles>
__device__ inline void add_weighted(float (&c)[kRowTiles][H / 8][4],
                                    const float (&w)[kRowTiles][kColumnTiles][4],
                                    const Fragments<H>& rows) {
#pragma unroll
  for (int k = 0; k < kColumnTiles / 2; ++k) {
    std::uint32_t a[kRowTiles][4];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = &w[m][2 * k + i / 2][2 * (i % 2)];
        a[m][i] = bf16x2_bits(pair[0], pair[1]);
      }
    }
#pragma unroll
    for (int n = 0; n < H / 16; ++n) {
      std::uint32_t b[4];
      ldmatrix_transposed(b, rows.at(k, n));
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        mma_16x8x16(c[m][2 * n], a[m], b[0], b[1]);
        mma_16x8x16(c[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

}  // namespace mixspan::cuda::mma
