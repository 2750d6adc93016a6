// What a linear layer does to whole rows beside its matrix product.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

/// y(M, F) = bias(F) + residual(M, F) in every row; either may be empty and counts as zero. One
/// dtype, f32 or bf16; rows may be strided, and y may be the residual. Overwrites y.
void fill_rows(const Exec&, View y, ConstView bias, ConstView residual);

/// sums(F) += the sum of each column of v(M, F). sums f32; v f32 or bf16, rows may be strided. The
/// order of the sum is a function of the shape alone: pieces of rows, then the pieces in order.
void add_column_sums(const Exec&, View sums, ConstView v);

}  // namespace mixspan::cuda
