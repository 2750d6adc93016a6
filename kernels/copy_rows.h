// Rows of keys, values and the like, whose places in two tensors differ.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// to, from: (B, n, N, H) f32, on a device also bf16, of any strides, but the heads of a row lie
/// together. to = from, bit for bit; to = 0; to += from. The rows of `to` must not overlap each
/// other or `from`. What lies between rows stays as it is.
void copy_rows(const Exec&, View to, ConstView from);
void clear_rows(const Exec&, View to);
void add_rows(const Exec&, View to, ConstView from);

}  // namespace mixspan
