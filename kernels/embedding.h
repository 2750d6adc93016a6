// x = wte[token] + wpe[position].
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/vocab_shard.h"

namespace mixspan {

/// x: (rows, C) f32, on a device also bf16. tokens, positions: (rows) i32. wte: (V, C) as x, the
/// tokens of `shard`; a token outside it counts as a row of zeros. wpe: (P, C) as x, or empty,
/// which counts as zeros. Rows of all may be strided. Overwrites x. Throws when a token lies
/// outside the vocabulary or a position outside its table; on a device its row becomes NaNs instead
/// (kernels/indices.h says why).
void embedding_forward(const Exec&, View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe, VocabShard shard = {});
/// dwte[token] += dx where the shard holds the token; dwpe[position] += dx unless dwpe is empty:
/// adds. dwte, dwpe: f32; dx: f32, on a device also bf16. Rows that share a token are summed in row
/// order; on a device 64 at a time, then the sums of those, then what was there is added. There an
/// index that lies outside adds nothing.
void embedding_backward(const Exec&, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions, VocabShard shard = {});

namespace oracle {
void embedding_forward(View x, ConstView tokens, ConstView positions, ConstView wte, ConstView wpe,
                       VocabShard shard = {});
void embedding_backward(View dwte, View dwpe, ConstView dx, ConstView tokens, ConstView positions,
                        VocabShard shard = {});
}  // namespace oracle

}  // namespace mixspan
