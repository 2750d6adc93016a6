// Causal attention in which query i reads keys lo(i) .. i. One tiled online-softmax kernel for
// every span; T x T is never held. Milakov & Gimelshein 2018 (arXiv:1805.02867), Dao et al. 2022
// (arXiv:2205.14135): o = softmax(scale q k^T) v over the visible keys.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/span.h"

namespace mixspan {

/// What is visible, and how scores are scaled.
struct AttentionRule {
  AnySpan span;
  float scale = 1.0f;
  /// (B, Tk) i32, or empty. document_start[b, j] is the first position of the document that key row
  /// j belongs to, non-decreasing in j. Queries never look before it: lo = max(span.lo, start).
  ConstView document_start;
};

/// q: (B, Tq, N, H). k, v: (B, Tk, K, H); N is a multiple of K, query head n reads key head
/// n/(N/K). Tq <= Tk: query row r sits at position r + Tk - Tq (0 apart in training; a prompt's
/// later chunk otherwise). o: (B, Tq, N, H). lse: (B, N, Tq): natural log of the sum of
/// exp(scores), for backward. All f32; the last dim is contiguous, others may be strided (views
/// into a packed QKV). Overwrites o and lse. The bits do not depend on the number of threads.
void attention_forward(const Exec&, View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule&);

/// Overwrites dq (as q), dk, dv (as k). `o` and `lse` as attention_forward left them. Tq = Tk.
void attention_backward(const Exec&, View dq, View dk, View dv, ConstView do_, ConstView q,
                        ConstView k, ConstView v, ConstView o, ConstView lse, const AttentionRule&);

/// One query row for each sequence against a cache of key rows, for generation. q, o: (B, N, H).
/// k_cache, v_cache: (B, S, K, H); row s counts iff visible[s] != 0. visible: (S) u8. The softmax
/// has no order in it, so a ring buffer needs no unrolling. Overwrites o.
void attention_decode(const Exec&, View o, ConstView q, ConstView k_cache, ConstView v_cache,
                      ConstView visible, float scale);

namespace oracle {
/// Direct softmax over AnySpan::allows and the document bounds, fp64 inside; f32 or f64 views.
void attention_forward(View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule&);
void attention_backward(View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
                        ConstView v, ConstView o, ConstView lse, const AttentionRule&);
}  // namespace oracle

}  // namespace mixspan
