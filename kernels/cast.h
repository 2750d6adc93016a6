// Numbers from one storage type to another.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// to = from; equal shapes, contiguous, each f32 or bf16; they must not overlap. To bf16 it rounds
/// to nearest, ties to even; a NaN stays one. Overwrites to.
void cast(const Exec&, View to, ConstView from);

}  // namespace mixspan
