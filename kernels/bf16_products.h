// Matrix products with operands rounded to bf16 and sums in fp32, on all threads.
#pragma once

#include <span>

#include "core/exec.h"
#include "kernels/bf16_tiles.h"

namespace mixspan::bf16_product {

/// Rows of fp32 or bf16 numbers to write; `data` is null where there are none.
struct Target {
  void* data = nullptr;
  std::int64_t stride = 0;
  bool is_bf16 = false;
};

/// c(M, N) = a b + start + bias, what is null left out; M, N, K >= 0. Each product's operands are
/// rounded to bf16 as they are packed; its sum over K is taken in an order that depends on K and N,
/// and on whether c or gelu are of bf16, alone.
struct Product {
  std::int64_t M, N, K;
  Source a;                      ///< (M, K)
  Source b;                      ///< (N, K): the right operand's columns
  Target c;                      ///< rounded after all else
  const float* start = nullptr;  ///< (M, N); c itself, of fp32, adds to c
  std::int64_t start_stride = 0;
  const float* bias = nullptr;  ///< (N)
  Target gelu;  ///< (M, N): overwritten with gelu(c), c as before it is rounded; may be c
  float* a_sums = nullptr;  ///< (M), a.by_depth only: the sums over K of a, unrounded, are added
};

/// Computes products that do not depend on each other; their work is shared out together.
void run(const Exec&, std::span<const Product> products);

}  // namespace mixspan::bf16_product
