// The likeliest token of each row of logits, and whether it is the target.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/targets.h"
#include "core/tensor.h"
#include "kernels/cross_entropy_parts.h"

namespace mixspan {

/// x: (rows, V) f32, on a device also bf16; rows may be strided; V > 0. index: (rows) i32,
/// contiguous. Overwrites it with first + the column of the row's largest number: the first of
/// equal ones. NaNs count as smaller than all others; a row of nothing else gets column 0.
void argmax_rows(const Exec&, View index, ConstView x, std::int64_t first = 0);

/// likeliest: (shards, rows) i32, each shard's likeliest token. parts: (shards, rows,
/// kCrossEntropyPart) as cross_entropy_part leaves them; empty for one shard. targets: (rows) i32.
/// correct: (rows) u8. Overwrites it with 1 where the likeliest token of all is the target, else 0;
/// of equally likely ones that of the first shard counts. All contiguous.
void mark_correct(const Exec&, View correct, ConstView likeliest, ConstView parts,
                  ConstView targets);

namespace oracle {
void argmax_rows(View index, ConstView x, std::int64_t first = 0);  ///< f32 or f64
}

}  // namespace mixspan
