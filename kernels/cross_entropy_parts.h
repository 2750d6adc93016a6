// Softmax cross-entropy of logits whose columns are spread over several places. Each place reduces
// its columns to three numbers a row; with those of all places every place finishes alone, so one
// gather replaces the three reductions (max, sum, target) of Shoeybi et al. 2019
// (arXiv:1909.08053).
#pragma once

#include "core/exec.h"
#include "core/targets.h"
#include "core/tensor.h"
#include "kernels/vocab_shard.h"

namespace mixspan {

inline constexpr std::int64_t kCrossEntropyPart = 3;

/// logits: (rows, columns) f32, on a device also bf16; the tokens of `shard`; rows may be strided.
/// targets: (rows) i32. Overwrites part (rows, kCrossEntropyPart) f32 with each row's largest
/// logit, its sum of exp(logit - largest), and its target's logit (-inf where another shard has
/// it), and logits with what cross_entropy_part_backward wants: exp(logit - largest) on a CPU, the
/// logits as they are on a device, where a pass over memory costs more than an exponential and bf16
/// would round twice. Rows without a target become zeros in part and stay in logits. Throws when a
/// target lies outside the vocabulary; on a device its loss and gradient become NaNs instead.
void cross_entropy_part(const Exec&, View part, View logits, ConstView targets, VocabShard shard);

/// parts: (shards, rows, kCrossEntropyPart). Overwrites losses (rows) f32, natural log, 0 in a row
/// without a target.
void cross_entropy_join(const Exec&, View losses, ConstView parts, ConstView targets);

/// kept: what cross_entropy_part left of the logits of shard number `index`; overwrites it with
/// scale * (softmax - onehot), zeros in a row without a target.
void cross_entropy_part_backward(const Exec&, View kept, ConstView parts, std::int64_t index,
                                 ConstView targets, VocabShard shard, float scale);

}  // namespace mixspan
