// kernels/ordered_sum.h on a device.
#pragma once

#include "kernels/ordered_sum.h"

namespace mixspan::cuda {

void sum_in_order(Stream stream, DType dtype, const PiecesOfRanks& pieces, std::int64_t n);

}  // namespace mixspan::cuda
