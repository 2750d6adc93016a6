// Tensor maps: what the copy engine of sm_90 is told of a tensor, so that one thread can move a
// whole tile of it.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace mixspan::cuda {

/// As the driver encodes it; opaque. Kernels take it as `const __grid_constant__ TensorMap`.
struct alignas(64) TensorMap {
  std::uint64_t words[16];
};

/// bf16 in each row of a tile's box: 128 bytes, what the 128-byte swizzle of shared memory spans.
inline constexpr int kBoxColumns = 64;

/// Of x (B, T, heads, H) in bf16, strided but for its last dim; H is a multiple of 64, all rows
/// begin at multiples of 16 bytes. Boxes are (64 columns) x (`rows` of T, at most 256) of one head,
/// and lie in shared memory in 128-byte rows with the 128-byte swizzle. Coordinates: column, row,
/// head, sequence. T is a dimension of its own, so that rows before the first and past the last are
/// read as zeros, and not written. Throws Error where the driver refuses.
TensorMap head_rows_map(const ConstView& x, int rows);

}  // namespace mixspan::cuda
