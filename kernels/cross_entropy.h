// Softmax cross-entropy of one chunk of rows. The caller walks the chunks, so that the logits of
// all tokens never exist at once.
#pragma once

#include "core/exec.h"
#include "core/targets.h"
#include "core/tensor.h"

namespace mixspan {

/// logits: (rows, V) f32, on a device also bf16; rows may be strided. targets: (rows) i32. losses:
/// (rows) f32: logsumexp(logits) - logits[target], natural log; overwrites. A row whose target is
/// kIgnoreTarget has loss 0; any other target outside [0, V) throws, on a device instead its loss
/// and gradient become NaNs (kernels/indices.h says why).
void cross_entropy_forward(const Exec&, View losses, ConstView logits, ConstView targets);
/// The same, and overwrites logits with scale * d(loss)/d(logits) = scale * (softmax - onehot);
/// zeros in a row without a target.
void cross_entropy_forward_backward(const Exec&, View losses, View logits, ConstView targets,
                                    float scale);

namespace oracle {
void cross_entropy_forward(View losses, ConstView logits, ConstView targets);  ///< f32 or f64
void cross_entropy_forward_backward(View losses, View logits, ConstView targets, double scale);
}  // namespace oracle

}  // namespace mixspan
