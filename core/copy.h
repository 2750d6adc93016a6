// Copies and zeros for tensors that may lie on a device.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// to = from: the same shape and dtype, each contiguous, or of rows (all dims but the last) that
/// lie a fixed pitch apart. With a CUDA Exec each side may be on the device, pinned, or on the
/// host, and the copy runs in the order of ex.stream. Only ordinary host memory may be read, or its
/// source reused, at once; else synchronise(ex.stream) first.
void copy(const Exec& ex, View to, ConstView from);

/// Sets every element to zero where the Exec computes; in the order of its stream. Contiguous.
void fill_zero(const Exec& ex, View view);

}  // namespace mixspan
