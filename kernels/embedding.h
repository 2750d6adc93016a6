// x = wte[token] + wpe[position].
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// x: (rows, C) f32. tokens, positions: (rows) i32. wte: (V, C). wpe: (P, C). Overwrites x.
/// Throws when a token or position lies outside its table.
void embedding_forward(const Exec&, View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe);
/// dwte[token] += dx, dwpe[position] += dx: adds. Rows that share a token are summed in row order.
void embedding_backward(const Exec&, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions);

namespace oracle {
void embedding_forward(View x, ConstView tokens, ConstView positions, ConstView wte, ConstView wpe);
void embedding_backward(View dwte, View dwpe, ConstView dx, ConstView tokens, ConstView positions);
}  // namespace oracle

}  // namespace mixspan
