// Matrix products with operands rounded to bf16 and sums in fp32, on all threads.
#pragma once

#include <span>

#include "core/exec.h"
#include "kernels/bf16_tiles.h"

namespace mixspan::bf16_product {

/// c(M, N) = a b + start + bias, what is null left out; M, N, K >= 0. Each product's operands are
/// rounded to bf16 as they are packed; its sum over K is taken in an order that depends on K and N
/// alone.
struct Product {
  std::int64_t M, N, K;
  Source a;  ///< (M, K)
  Source b;  ///< (N, K): the right operand's columns
  float* c;
  std::int64_t c_stride;
  const float* start = nullptr;  ///< (M, N); c itself adds to c
  std::int64_t start_stride = 0;
  const float* bias = nullptr;  ///< (N)
  float* gelu = nullptr;        ///< (M, N): overwritten with gelu(c); may be c
  std::int64_t gelu_stride = 0;
  float* a_sums = nullptr;  ///< (M), a.by_depth only: the sums over K of a, unrounded, are added
};

/// Computes products that do not depend on each other; their work is shared out together.
void run(const Exec&, std::span<const Product> products);

}  // namespace mixspan::bf16_product
