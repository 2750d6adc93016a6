// Attention on CUDA devices. The contract is kernels/attention.h, which checks shapes; these choose
// the kernel (attention_choice.h) and launch it on the stream of the Exec.
#pragma once

#include "kernels/attention.h"

namespace mixspan::cuda {

/// q, k, v, o and their gradients all f32 or all bf16; lse f32, its last dim contiguous.
void attention_forward(const Exec&, View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule&);
void attention_backward(const Exec&, View dq, View dk, View dv, ConstView do_, ConstView q,
                        ConstView k, ConstView v, ConstView o, ConstView lse, const AttentionRule&);
/// That at least one row of the cache is visible is not checked: o is 0 where none is.
void attention_decode(const Exec&, View o, ConstView q, ConstView k_cache, ConstView v_cache,
                      ConstView visible, float scale);

/// Plain loops, a block for each row, sums in fp32: what the others are compared with on a device.
/// Any head size, f32 and bf16.
namespace attention_naive {
void forward(const Exec&, View o, View lse, ConstView q, ConstView k, ConstView v,
             const AttentionRule&);
void backward(const Exec&, View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
              ConstView v, ConstView o, ConstView lse, const AttentionRule&);
}  // namespace attention_naive

/// Tiles on the tensor cores of sm_80 and later; bf16. Head sizes: attention_choice.h.
namespace attention_mma {
void forward(const Exec&, View o, View lse, ConstView q, ConstView k, ConstView v,
             const AttentionRule&);
void backward(const Exec&, View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
              ConstView v, ConstView o, ConstView lse, const AttentionRule&);
}  // namespace attention_mma

/// Tiles that the copy engine brings, on the warpgroup products of sm_90a; bf16. What it can do:
/// attention_choice.h.
namespace attention_wgmma {
void forward(const Exec&, View o, View lse, ConstView q, ConstView k, ConstView v,
             const AttentionRule&);
void backward(const Exec&, View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
              ConstView v, ConstView o, ConstView lse, const AttentionRule&);
}  // namespace attention_wgmma

}  // namespace mixspan::cuda
