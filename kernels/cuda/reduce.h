// kernels/reduce.h on a CUDA device; shapes are checked there. The first three wait for the stream.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

double sum_of_squares(const Exec&, ConstView x);
double sum(const Exec&, ConstView x);
std::int64_t first_nonfinite(const Exec&, ConstView x);
void add_into(const Exec&, View y, ConstView x);

}  // namespace mixspan::cuda
