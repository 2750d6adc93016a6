// kernels/argmax.h on a CUDA device; shapes are checked there.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void argmax_rows(const Exec&, View index, ConstView x, std::int64_t first);
void mark_correct(const Exec&, View correct, ConstView likeliest, ConstView parts,
                  ConstView targets);

}  // namespace mixspan::cuda
