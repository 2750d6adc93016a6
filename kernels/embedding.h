// x = wte[token] + wpe[position].
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/vocab_shard.h"

namespace mixspan {

/// x: (rows, C) f32. tokens, positions: (rows) i32. wte: (V, C), the tokens of `shard`; a token
/// outside it counts as a row of zeros. wpe: (P, C), or empty, which counts as zeros. Overwrites x.
/// Throws when a token lies outside the vocabulary or a position outside its table.
void embedding_forward(const Exec&, View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe, VocabShard shard = {});
/// dwte[token] += dx where the shard holds the token; dwpe[position] += dx unless dwpe is empty:
/// adds. Rows that share a token are summed in row order.
void embedding_backward(const Exec&, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions, VocabShard shard = {});

namespace oracle {
void embedding_forward(View x, ConstView tokens, ConstView positions, ConstView wte, ConstView wpe,
                       VocabShard shard = {});
void embedding_backward(View dwte, View dwpe, ConstView dx, ConstView tokens, ConstView positions,
                        VocabShard shard = {});
}  // namespace oracle

}  // namespace mixspan
