// kernels/residual.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void bias_residual(const Exec&, View y, ConstView x, ConstView bias, ConstView residual);

}  // namespace mixspan::cuda
