// kernels/attention_merge.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void attention_merge(const Exec&, View o, View lse, ConstView part_o, ConstView part_lse);

}  // namespace mixspan::cuda
