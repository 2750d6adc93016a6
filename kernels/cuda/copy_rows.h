// kernels/copy_rows.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void copy_rows(const Exec&, View to, ConstView from);
void clear_rows(const Exec&, View to);
void add_rows(const Exec&, View to, ConstView from);

}  // namespace mixspan::cuda
