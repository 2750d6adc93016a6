// Attention over two sets of keys from attention over each: both are sums of exp(score) * value
// over sums of exp(score), which lse lets us put on one scale. Milakov & Gimelshein 2018
// (arXiv:1805.02867), Dao et al. 2022 (arXiv:2205.14135).
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// o, part_o: (B, T, N, H). lse, part_lse: (B, N, T), as attention_forward leaves them; the part is
/// over other keys. Replaces o and lse by those of both:
///     lse' = log(exp(lse) + exp(part_lse)),
///     o' = exp(lse - lse') o + exp(part_lse - lse') part_o,
/// without overflow for any finite lse. A side whose lse is -infinity has read no key: its o is not
/// looked at, and the other's stays as it is, bit for bit. To start from nothing, fill o with 0 and
/// lse with -infinity. All f32, on a device o and part_o also bf16, both alike; the last dim is
/// contiguous, others may be strided. Rounding depends on the order in which parts are merged, not
/// on the number of threads.
void attention_merge(const Exec&, View o, View lse, ConstView part_o, ConstView part_lse);

namespace oracle {
/// fp64 inside; f32 or f64 views, all of one dtype.
void attention_merge(View o, View lse, ConstView part_o, ConstView part_lse);
}  // namespace oracle

}  // namespace mixspan
