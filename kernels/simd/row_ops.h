// The inner loops of the dense operations over contiguous runs of floats, built once for each
// instruction set. Each result is a fixed function of its arguments and of the instruction set:
// sums are taken over a fixed number of lanes and joined in a fixed order.
#pragma once

#include <cstdint>

#include "core/cpu.h"

namespace mixspan::simd {

/// An AdamW step in the numbers its inner loop uses: w -= lr_m m / (sqrt(v inv_c2) + eps) + lr_wd
/// w.
struct AdamWFactors {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, eps;
  float lr_m;    ///< lr / (1 - beta1^t)
  float inv_c2;  ///< 1 / (1 - beta2^t)
  float lr_wd;   ///< lr * weight_decay
  float grad_scale;
};

/// One row of a layer norm and what its backward pass needs.
struct NormRow {
  const float* x;
  const float* gain;
  float mean, rstd;
};

/// `n` is the length of every array. Outputs may be inputs where both are named alike (y, x).
struct RowOps {
  void (*add)(float* y, const float* x, std::int64_t n);                     // y += x
  void (*sum_of)(float* y, const float* a, const float* b, std::int64_t n);  // y = a + b
  void (*scale)(float* y, float factor, std::int64_t n);                     // y *= factor
  /// y(cols, rows) = the transpose of x(rows, cols); rows of each `stride` numbers apart.
  void (*transpose)(float* y, std::int64_t y_stride, const float* x, std::int64_t x_stride,
                    std::int64_t rows, std::int64_t cols);

  void (*gelu)(float* y, const float* x, std::int64_t n);
  void (*gelu_backward)(float* dx, const float* dy, const float* x, std::int64_t n);
  /// Both, with the bits of each. y may be x.
  void (*gelu_and_backward)(float* y, float* dx, const float* dy, const float* x, std::int64_t n);

  float (*mean)(const float* x, std::int64_t n);
  /// Mean of the squared distances from `mean`.
  float (*variance)(const float* x, float mean, std::int64_t n);
  /// y = (x - mean) rstd gain + bias
  void (*normalise)(float* y, NormRow row, const float* bias, std::int64_t n);
  /// dx = or += the row's gradient; dgain += dy normal, dbias += dy.
  void (*norm_backward)(float* dx, bool add_dx, float* dgain, float* dbias, const float* dy,
                        NormRow row, std::int64_t n);

  float (*max)(const float* x, std::int64_t n);
  /// Sum of exp(x - shift), in fp64 over pieces of fixed length.
  double (*sum_exp)(const float* x, float shift, std::int64_t n);
  /// The same, and overwrites x with exp(x - shift).
  double (*exp_in_place)(float* x, float shift, std::int64_t n);

  void (*adamw)(float* w, float* m, float* v, const float* g, const AdamWFactors& f,
                std::int64_t n);

  double (*sum)(const float* x, std::int64_t n);
  double (*sum_of_squares)(const float* x, std::int64_t n);
  bool (*all_finite)(const float* x, std::int64_t n);
};

/// The loops for one instruction set, which the processor must have.
const RowOps& row_ops(Isa isa);

extern const RowOps kPortableRowOps, kAvx2RowOps, kAvx512RowOps;

}  // namespace mixspan::simd
