// Reductions with a fixed order: pieces of fixed length, each summed alone, then their sums in
// order.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// Sum of squares of a contiguous f32 view, in fp64.
double sum_of_squares(const Exec&, ConstView x);
/// Sum of a contiguous f32 view, in fp64.
double sum(const Exec&, ConstView x);
/// Index of the first NaN or infinity of a contiguous f32 view, or -1.
std::int64_t first_nonfinite(const Exec&, ConstView x);
/// y += x, element by element, f32.
void add_into(const Exec&, View y, ConstView x);

namespace oracle {
double sum_of_squares(ConstView x);
double sum(ConstView x);
void add_into(View y, ConstView x);
}  // namespace oracle

}  // namespace mixspan
