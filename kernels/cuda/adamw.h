// kernels/adamw.h on a CUDA device; shapes are checked there.
#pragma once

#include "kernels/simd/row_ops.h"
#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void adamw(const Exec&, View w, View m, View v, ConstView g, const simd::AdamWFactors& factors,
           View rounded);

}  // namespace mixspan::cuda
