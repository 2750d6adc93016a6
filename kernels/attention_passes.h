// A whole forward or backward pass on the CPU, its arguments already checked.
#pragma once

#include "kernels/attention_plan.h"

namespace mixspan::attention {

/// Named as the arguments of mixspan::attention_forward and attention_backward.
struct ForwardPass {
  View o, lse;
  ConstView q, k, v;
  const AttentionRule& rule;
};
struct BackwardPass {
  View dq, dk, dv;
  ConstView do_, q, k, v, o, lse;
  const AttentionRule& rule;
};

void run_forward(const Exec&, const ForwardPass&, const TileKernels&);
void run_backward(const Exec&, const BackwardPass&, const TileKernels&);

}  // namespace mixspan::attention
