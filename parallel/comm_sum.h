// Sums that have the same bits on every rank: element by element, in the order of the ranks.
#pragma once

#include <cstdint>
#include <span>

#include "core/dtype.h"

namespace mixspan {

/// out[i] = ((pieces[0][i] + pieces[1][i]) + pieces[2][i]) + ..., in f32, f64, i32 or i64; throws
/// for another dtype. `out` is overwritten and may be one of the pieces.
void sum_in_order(DType dtype, std::span<const void* const> pieces, void* out, std::int64_t n);

/// Throws unless sum_in_order can sum this dtype.
void check_summable(DType dtype);

}  // namespace mixspan
