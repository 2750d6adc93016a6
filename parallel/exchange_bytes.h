// The bytes that each transport makes one rank send for one layer and micro-batch: the formulas
// that plans print and that counted traffic is compared with, exact for chunks of any sizes.
//
// Letters: P ranks; T positions, of which rank r holds rows(r); N heads and head size H of this
// rank of the tp axis; B sequences; e bytes an element; next(r) = (r + 1) mod P. A row of keys OR
// of values is kv = B * N * H * e bytes. Only what goes to other ranks counts.
#pragma once

#include <cstdint>

#include "parallel/exchange_plan.h"

namespace mixspan {

/// What is at a position of a rank's sequences. Queries, keys and values have as many heads.
struct RowSize {
  std::int64_t B = 1;
  std::int64_t heads = 1;  ///< of this rank of the tp axis
  std::int64_t head_size = 1;
  std::int64_t element_bytes = 4;
  std::int64_t bytes() const { return B * heads * head_size * element_bytes; }
};

struct ExchangeBytes {
  std::int64_t forward = 0;
  std::int64_t backward = 0;  ///< of one backward pass, without a forward that it runs again
  std::int64_t total() const { return forward + backward; }
  friend bool operator==(const ExchangeBytes&, const ExchangeBytes&) = default;
};

/// forward   2 kv rows_sent(r)        keys and values of the rows that others' halos lack
/// backward  2 kv rows_received(r)    their gradients go home
/// Even chunks, sliding:W with W - 1 rows in a chunk, away from the ends of the sequence:
/// 2 (W - 1) kv each way when contiguous, twice that in zigzag.
ExchangeBytes halo_bytes(const HaloPlan&, int rank, const RowSize&);

/// forward   2 kv (T - rows(next(r)))  before step t = 1 .. P-1 the rank hands on the keys and
///                                     values of rank (r - t + 1) mod P: all but its successor's
/// backward  the same again, and
///           2 kv (T - rows(r))        sums of gradients: that of a rank's rows starts at its
///                                     successor and is home after P-1 hops; the owner adds its own
/// Even chunks: 2 (P-1) T/P kv forward, 4 (P-1) T/P kv backward, whatever the span.
ExchangeBytes ring_bytes(const SequenceLayout&, int rank, const RowSize&);

/// Each rank computes N/P heads over all rows and keeps their q, k, v, o and lse for backward.
/// forward   3 kv/P (P-1) rows(r)    q, k, v of own rows to the owners of the heads
///           + kv/P (T - rows(r))    o of own heads to the owners of the rows
/// backward  kv/P (P-1) rows(r)      the gradient of o
///           + 3 kv/P (T - rows(r))  the gradients of q, k, v
/// Even chunks: 4 (P-1)/P T/P kv each way. Throws Error unless P divides the heads.
ExchangeBytes all_to_all_bytes(const SequenceLayout&, int rank, const RowSize&);

/// forward   2 kv (P-1) rows(r)      own keys and values to every other rank
/// backward  the same again, for they are not kept, and
///           2 kv (T - rows(r))      gradients of others' rows, to be summed by their owners
/// Even chunks: 2 (P-1) T/P kv forward, 4 (P-1) T/P kv backward.
ExchangeBytes gather_bytes(const SequenceLayout&, int rank, const RowSize&);

/// By whichever transport; `plan` was made from `layout`.
ExchangeBytes exchange_bytes(Transport, const HaloPlan& plan, const SequenceLayout& layout,
                             int rank, const RowSize&);
/// Of the rank that sends most, forward and backward each.
ExchangeBytes most_exchange_bytes(Transport, const HaloPlan& plan, const SequenceLayout& layout,
                                  const RowSize&);

}  // namespace mixspan
