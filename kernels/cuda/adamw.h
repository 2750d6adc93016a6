// kernels/adamw.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/simd/row_ops.h"

namespace mixspan::cuda {

void adamw(const Exec&, View w, View m, View v, ConstView g, const simd::AdamWFactors& factors,
           View rounded);

}  // namespace mixspan::cuda
