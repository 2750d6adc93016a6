// What each way to bring keys to queries costs a layer, and which is cheapest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/cost/machine_file.h"
#include "kernels/span.h"
#include "kernels/tile_ranges.h"
#include "parallel/exchange_bytes.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

/// Counts (query, key) pairs that a span lets through, of any part of a sequence of T tokens.
class PairCount {
 public:
  PairCount(const AnySpan&, std::int64_t T);
  std::int64_t between(Range queries, Range keys) const;

 private:
  /// Of queries below n and keys below k.
  std::int64_t below(std::int64_t n, std::int64_t k) const;
  AnySpan span_;
  std::vector<std::int64_t> pairs_;  // [n]: of the queries below n
};

/// Attention of one layer and micro-batch on the ranks of the cp axis.
struct ExchangeSetting {
  const SequenceLayout& layout;
  RowSize row;          ///< its heads are those of one tp rank
  std::int64_t tp = 1;  ///< the stride of cp neighbours among all ranks
  bool forward_again;   ///< whether backward repeats the forward pass: model.recompute = "full"
  MachineFile machine;  ///< as each rank sees it
};

/// Seconds are of forward and backward together, on the rank that needs most.
struct TransportCost {
  Transport transport = Transport::local;
  ExchangeBytes bytes;    ///< sent by the rank that sends most, repeated forward included
  double flops = 0;       ///< forward: scores and weighted values
  double step_flops = 0;  ///< forward and backward, with what is computed again
  double compute_s = 0;   ///< of those
  double transfer_s = 0;  ///< on the link
  double exposed_s = 0;   ///< what of that no computation of the layer hides
  double seconds() const { return compute_s + exposed_s; }
};

/// Every transport that can carry this span; `local` alone where nothing need move.
///   halo        hides under the queries that read no halo
///   ring        a step's transfer hides under the step before; gradients' last hop home does not
///   all_to_all  exposed; needs cp to divide the row's heads. Evens out the work of any layout
///   gather      exposed
std::vector<TransportCost> transport_costs(const AnySpan&, const ExchangeSetting&);

struct TransportChoice {
  TransportCost cost;
  std::string reason;  ///< in words, for a person
};

/// The one that makes the layer fastest, the fewer bytes deciding where that is even; a halo only
/// where its forward moves fewer bytes than a ring's (a full span's does not, and fills memory).
/// wanted: "auto", or the transport to take wherever something must move.
TransportChoice choose_transport(const AnySpan&, const ExchangeSetting&, std::string_view wanted);

}  // namespace mixspan
