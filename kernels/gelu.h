// gelu(x) = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Hendrycks & Gimpel 2016,
// arXiv:1606.08415, tanh form: what GPT-2 and GPT-Neo call gelu_new.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// x, y: any equal shape, contiguous, f32 or both bf16 (computed in fp32). Overwrites y; y may be
/// x.
void gelu_forward(const Exec&, View y, ConstView x);
/// dx = dy gelu'(x), and y = gelu(x) again unless `y` is empty; types as above. Overwrites both; dx
/// may be dy, y may be x. The bits are those of each alone.
void gelu_backward(const Exec&, View dx, ConstView dy, ConstView x, View y = {});

namespace oracle {
void gelu_forward(View y, ConstView x);  ///< f32 or f64
void gelu_backward(View dx, ConstView dy, ConstView x);
}  // namespace oracle

}  // namespace mixspan
