// kernels/embedding.h on a CUDA device; shapes are checked there.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/vocab_shard.h"

namespace mixspan::cuda {

void embedding_forward(const Exec&, View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe, VocabShard);
void embedding_backward(const Exec&, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions, VocabShard);

}  // namespace mixspan::cuda
