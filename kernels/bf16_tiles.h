// What a matrix product with bf16 operands does to one tile: packing and the sums. One version for
// the AVX512-BF16 instructions, one in plain C++ that gives the same bits; the loops around them
// are compiled once (bf16_products.cpp).
//
// A pair is two bf16 that follow each other along K, the first in the low half. As vdpbf16ps does,
// a pair's products are added to the fp32 sum one after the other, the high half's first, each with
// one rounding to nearest even; denormal numbers, given or made, count as zeros of their sign.
#pragma once

#include <cstdint>

#include "core/cpu.h"

namespace mixspan::bf16_product {

inline constexpr int kLanes = 16;                // floats of a vector
inline constexpr int kTileRows = 8;              // of the sums held in registers
inline constexpr int kTileCols = 3 * kLanes;     // 24 vectors of sums, of 32 registers
inline constexpr int kPackRows = 2 * kTileRows;  // packed at a time; also kLanes
static_assert(kPackRows == kLanes);

/// `rows` x `depth` numbers, fp32 or bf16: (r, k) at data[r * stride + k], or at data[k * stride +
/// r] where `by_depth`.
struct Source {
  const void* data;
  std::int64_t stride;
  bool by_depth;
  bool is_bf16 = false;
};

/// Rounds up to 16 rows of a source to bf16, those of bf16 as they are. Pair p of row r goes to
/// low[p * step + r] for r < 8 and to high[p * step + r - 8] for the others; zeros in rows and
/// places that the source lacks. Where `sums` is given, by_depth only, adds to sums[r] the row's
/// numbers as they are.
struct PackJob {
  std::uint32_t *low, *high;
  std::int64_t step;
  Source from;
  std::int64_t rows, depth;
  float* sums;
};

/// c(rows, cols) = sums of a b, then + start, then + bias, each where it is given.
struct TileJob {
  const std::uint32_t* a;  // (pairs, kTileRows)
  const std::uint32_t* b;  // (pairs, columns rounded up to vectors)
  std::int64_t pairs;
  int rows, cols;  // 1 .. kTileRows, 1 .. kTileCols
  float* c;
  std::int64_t c_stride;
  const float* start;  // (rows, cols), or null; may be c
  std::int64_t start_stride;
  const float* bias;  // (cols), or null
};

struct Kernels {
  void (*pack)(const PackJob&);
  void (*tile)(const TileJob&);
  /// y = x, rounded as a source is. What is NaN stays one.
  void (*round)(std::uint16_t* y, const float* x, std::int64_t n);
  void (*widen)(float* y, const std::uint16_t* x, std::int64_t n);
};

/// The instructions' version where `isa` is avx512 and the processor has them.
const Kernels& kernels(Isa isa);

namespace portable {
const Kernels& kernels();
}
namespace avx512 {
const Kernels& kernels();
}

}  // namespace mixspan::bf16_product
