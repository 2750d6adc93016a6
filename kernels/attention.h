// Causal attention in which query i reads keys lo(i) .. i, of which a call may hold any stretch.
// One tiled online-softmax kernel for every span; T x T is never held. Milakov & Gimelshein 2018
// (arXiv:1805.02867), Dao et al. 2022 (arXiv:2205.14135): o = softmax(scale q k^T) v over the
// visible keys.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/span.h"

namespace mixspan {

/// What is visible, and how scores are scaled.
struct AttentionRule {
  AnySpan span;
  float scale = 1.0f;
  /// (B, Tq) i32, or empty. document_start[b, r] is the position at which the document of query row
  /// r starts, non-decreasing in r and not past the row's own. Queries never look before it: lo =
  /// max(span.lo, start).
  ConstView document_start;
  /// Positions in the text of query row 0 and of key row 0, 0 <= first_key <= first_query: all of
  /// the text is 0 and 0, a chunk with the keys before it begins with those keys, a chunk against
  /// an earlier one has keys that may all end before its queries begin.
  std::int64_t first_query = 0, first_key = 0;
};

/// q: (B, Tq, N, H), row r at position first_query + r. k, v: (B, Tk, K, H), row s at position
/// first_key + s; Tq and Tk are independent. N is a multiple of K, query head n reads key head
/// n/(N/K). A query reads those of the keys lo .. own position that are among the rows of k.
/// o: (B, Tq, N, H). lse: (B, N, Tq): natural log of the sum of exp(scores), for backward and for
/// attention_merge. A row that reads no key has o = 0 and lse = -infinity. All f32, or on a device
/// all bf16 but lse; the last dim is contiguous, others may be strided (views into a packed QKV).
/// Overwrites o and lse. The bits do not depend on the number of threads.
void attention_forward(const Exec&, View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule&);

/// Overwrites dq (as q), dk, dv (as k). `o` and `lse` as attention_forward left them, or as
/// attention_merge did over further stretches of keys: the gradients are then this stretch's part,
/// to be added to the others'. Rows that read no key, and keys that no row reads, get zeros.
void attention_backward(const Exec&, View dq, View dk, View dv, ConstView do_, ConstView q,
                        ConstView k, ConstView v, ConstView o, ConstView lse, const AttentionRule&);

/// One query row for each sequence against a cache of key rows, for generation. q, o: (B, N, H).
/// k_cache, v_cache: (B, S, K, H); row s counts iff visible[s] != 0. visible: (S) u8. The softmax
/// has no order in it, so a ring buffer needs no unrolling. Overwrites o.
void attention_decode(const Exec&, View o, ConstView q, ConstView k_cache, ConstView v_cache,
                      ConstView visible, float scale);

namespace oracle {
/// Direct softmax over AnySpan::allows and the document bounds, pair by pair, fp64 inside; f32 or
/// f64 views.
void attention_forward(View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule&);
void attention_backward(View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
                        ConstView v, ConstView o, ConstView lse, const AttentionRule&);
}  // namespace oracle

}  // namespace mixspan
