// kernels/cast.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void cast(const Exec&, View to, ConstView from);

}  // namespace mixspan::cuda
