// kernels/layer_norm.h on a CUDA device; shapes are checked there.
#pragma once

#include "kernels/layer_norm.h"

namespace mixspan::cuda {

void layer_norm_forward(const Exec&, View y, View mean, View rstd, ConstView x, ConstView gain,
                        ConstView bias, float eps);
void layer_norm_backward(const Exec&, View dx, View dgain, View dbias, ConstView dy, ConstView x,
                         ConstView gain, ConstView mean, ConstView rstd, DxMode);

}  // namespace mixspan::cuda
