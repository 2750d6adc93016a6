// The end of a branch whose product was summed over ranks first.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// y = x + bias + residual; x, residual, y: (rows, C) f32, on a device also bf16; rows may be
/// strided. bias: (C), all of one type. Overwrites y, which may be x or the residual itself.
void bias_residual(const Exec&, View y, ConstView x, ConstView bias, ConstView residual);

namespace oracle {
void bias_residual(View y, ConstView x, ConstView bias, ConstView residual);  ///< f32 or f64
}

}  // namespace mixspan
