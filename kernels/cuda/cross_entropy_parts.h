// kernels/cross_entropy_parts.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/vocab_shard.h"

namespace mixspan::cuda {

void cross_entropy_part(const Exec&, View part, ConstView logits, ConstView targets, VocabShard);
void cross_entropy_join(const Exec&, View losses, ConstView parts, ConstView targets);
void cross_entropy_part_backward(const Exec&, View logits, ConstView parts, ConstView targets,
                                 VocabShard, float scale);

}  // namespace mixspan::cuda
