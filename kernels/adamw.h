// AdamW. Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with the schedule folded into lr:
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   w = w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay w)
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

struct AdamWStep {
  double lr, beta1, beta2, eps, weight_decay;
  std::int64_t t;         ///< 1 at the first update
  double grad_scale = 1;  ///< multiplies every gradient first: clipping
};

/// w, m, v, g: (n) f32, contiguous. One pass; overwrites w, m, v, and `rounded` (n) bf16 with the
/// new w to nearest, unless it is empty.
void adamw(const Exec&, View w, View m, View v, ConstView g, const AdamWStep& step,
           View rounded = {});

namespace oracle {
void adamw(View w, View m, View v, ConstView g, const AdamWStep& step);  ///< f32 or f64
}

}  // namespace mixspan
