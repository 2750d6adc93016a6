// kernels/gelu.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void gelu_forward(const Exec&, View y, ConstView x);
void gelu_backward(const Exec&, View dx, ConstView dy, ConstView x);

}  // namespace mixspan::cuda
