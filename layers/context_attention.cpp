#include "layers/context_attention.h"

namespace mixspan {

void ContextAttention::forward(View o, View lse, ConstView q, ConstView k, ConstView v,
                               Saved& saved) const {
  switch (transport) {
    case Transport::local:  // a halo of no rows
    case Transport::halo:
      return halo_attention::forward(*this, o, lse, q, k, v, saved);
    case Transport::ring:
      return ring_attention::forward(*this, o, lse, q, k, v);
    case Transport::all_to_all:
      return head_attention::forward(*this, o, q, k, v, saved);
    case Transport::gather:
      return gathered_attention::forward(*this, o, lse, q, k, v);
  }
}

void ContextAttention::backward(View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
                                ConstView v, ConstView o, ConstView lse, const Saved& saved) const {
  switch (transport) {
    case Transport::local:
    case Transport::halo:
      return halo_attention::backward(*this, dq, dk, dv, do_, q, k, v, o, lse, saved);
    case Transport::ring:
      return ring_attention::backward(*this, dq, dk, dv, do_, q, k, v, o, lse);
    case Transport::all_to_all:
      return head_attention::backward(*this, dq, dk, dv, do_, saved);
    case Transport::gather:
      return gathered_attention::backward(*this, dq, dk, dv, do_, q, k, v, o, lse);
  }
}

}  // namespace mixspan
