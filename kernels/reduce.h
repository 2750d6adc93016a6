// Reductions with a fixed order: pieces of fixed length, each summed alone, then their sums in
// order.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// x is contiguous, f32, on a device also bf16. On a device the first three wait for the stream.
/// Sum of squares, in fp64.
double sum_of_squares(const Exec&, ConstView x);
/// Sum, in fp64.
double sum(const Exec&, ConstView x);
/// Index of the first NaN or infinity, or -1.
std::int64_t first_nonfinite(const Exec&, ConstView x);
/// y += x, element by element; y as x.
void add_into(const Exec&, View y, ConstView x);

namespace oracle {
double sum_of_squares(ConstView x);
double sum(ConstView x);
void add_into(View y, ConstView x);
}  // namespace oracle

}  // namespace mixspan
