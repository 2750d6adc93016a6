// kernels/cross_entropy.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void cross_entropy_forward(const Exec&, View losses, ConstView logits, ConstView targets);
void cross_entropy_forward_backward(const Exec&, View losses, View logits, ConstView targets,
                                    float scale);

}  // namespace mixspan::cuda
