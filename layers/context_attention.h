// Attention over sequences that are split over the cp axis: the keys and values that a rank's
// queries read come to it by one of the transports of parallel/exchange_plan.h.
#pragma once

#include "core/exec.h"
#include "kernels/span.h"
#include "layers/mixer.h"
#include "layers/saved.h"
#include "parallel/exchange_plan.h"

namespace mixspan {

/// One layer's attention of this rank's queries. Views are as attention.h names them, with the rows
/// that this rank holds in the order of its chunks: q, k, v, o: (B, held, N, H), lse: (B, N, held).
/// Sums are fp32 and taken in an order fixed by the layout, so the bits are the same on every
/// repeat and for any number of threads.
struct ContextAttention {
  const Exec& ex;
  const SequenceSplit& split;
  ConstView document_start;  ///< (B, held) i32 where the model lies, or empty
  AnySpan span;
  float scale;
  Transport transport;
  std::int64_t layer;  ///< for the counts of what moved

  /// Overwrites o, and lse where backward will want it (all_to_all keeps one of its own); leaves in
  /// `saved` what else backward needs.
  void forward(View o, View lse, ConstView q, ConstView k, ConstView v, Saved& saved) const;
  /// Overwrites dq, dk, dv.
  void backward(View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k, ConstView v,
                ConstView o, ConstView lse, const Saved& saved) const;

  int rank() const { return split.cp.rank(); }
  int ranks() const { return split.cp.size(); }
};

namespace halo_attention {
void forward(const ContextAttention&, View o, View lse, ConstView q, ConstView k, ConstView v,
             Saved&);
void backward(const ContextAttention&, View dq, View dk, View dv, ConstView do_, ConstView q,
              ConstView k, ConstView v, ConstView o, ConstView lse, const Saved&);
}  // namespace halo_attention

namespace ring_attention {
void forward(const ContextAttention&, View o, View lse, ConstView q, ConstView k, ConstView v);
void backward(const ContextAttention&, View dq, View dk, View dv, ConstView do_, ConstView q,
              ConstView k, ConstView v, ConstView o, ConstView lse);
}  // namespace ring_attention

namespace head_attention {  // all-to-all over heads
void forward(const ContextAttention&, View o, ConstView q, ConstView k, ConstView v, Saved&);
void backward(const ContextAttention&, View dq, View dk, View dv, ConstView do_, const Saved&);
}  // namespace head_attention

namespace gathered_attention {
void forward(const ContextAttention&, View o, View lse, ConstView q, ConstView k, ConstView v);
void backward(const ContextAttention&, View dq, View dk, View dv, ConstView do_, ConstView q,
              ConstView k, ConstView v, ConstView o, ConstView lse);
}  // namespace gathered_attention

}  // namespace mixspan
