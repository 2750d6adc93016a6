// Rows of keys, values and their gradients on their way between ranks, and rectangles of the
// (query, key) plane. Shared by the transports of context_attention.h.
#pragma once

#include <vector>

#include "kernels/attention.h"
#include "kernels/copy_rows.h"
#include "layers/context_attention.h"

namespace mixspan::context {

/// A chunk of a rank: where it lies in the sequence and among the rank's rows.
struct Chunk {
  Range positions, rows;
};
std::vector<Chunk> chunks_of(const SequenceLayout&, int rank);

/// Rows [rows) of (B, held, N, H).
inline ConstView rows_of(const ConstView& x, Range rows) {
  return x.slice(1, rows.begin, rows.end);
}
inline View rows_of(const View& x, Range rows) { return x.slice(1, rows.begin, rows.end); }

/// This rank's query rows `rows`, which begin at position `first_query`, against keys that begin at
/// position `first_key`.
struct Rectangle {
  Range rows;
  std::int64_t first_query, first_key;
};
AttentionRule rule_of(const ContextAttention&, const Rectangle&);

/// attention_forward of a rectangle: overwrites the rows of o and lse.
void attend(const ContextAttention&, const Rectangle&, View o, View lse, ConstView q, ConstView k,
            ConstView v);
/// The same, merged with what the rows of o and lse hold.
void attend_more(const ContextAttention&, const Rectangle&, View o, View lse, ConstView q,
                 ConstView k, ConstView v);
/// What the backward pass of a rectangle reads, each with all rows of the rank.
struct Upstream {
  ConstView do_, q, o, lse;
};
/// Overwrites the rows of dq, and dk and dv of the rectangle's keys.
void attend_backward(const ContextAttention&, const Rectangle&, View dq, View dk, View dv,
                     const Upstream&, ConstView k, ConstView v);
/// Adds to the rows of dq instead.
void attend_backward_more(const ContextAttention&, const Rectangle&, View dq, View dk, View dv,
                          const Upstream&, ConstView k, ConstView v);

}  // namespace mixspan::context
