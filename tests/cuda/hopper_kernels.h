// Kernels that try one by one what the wgmma attention kernels are made of: tiles that the copy
// engine brings and takes, and each kind of product.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::test {

/// Where a box begins.
struct BoxPlace {
  int row, head, sequence;
};

/// a, b, w (B, T, heads, H, H and N) bf16; from the box at `place` of each, with zeros where T
/// ends: shared (64, N) = a b^T with a in shared memory, from the second half of a tile of 128
/// rows; kept (64, N) = a b^T with a in registers; weighted (64, H) = w b with w (64, N) in
/// registers. Then `out` (B, T, heads, H) bf16 gets 2 x weighted there, as far as T reaches. H, N:
/// 64 or 128; b has N rows in its tile. All outputs f32 but out.
void try_products(const Exec&, View shared, View kept, View weighted, View out, ConstView a,
                  ConstView b, ConstView w, BoxPlace place);

/// x (n, 16) f32, n a multiple of 4, at most 256: y = x, brought as bytes, a quarter for each of
/// four phases of one barrier; the next is started only when the one before has been read.
void try_phases(const Exec&, View y, ConstView x);

}  // namespace mixspan::test
