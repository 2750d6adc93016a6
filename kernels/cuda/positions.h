// kernels/positions.h on a CUDA device; shapes are checked there.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

void fill_positions(const Exec&, View positions, std::int64_t first);
void mark_ring_rows(const Exec&, View marks, std::int64_t begin, std::int64_t end);

}  // namespace mixspan::cuda
