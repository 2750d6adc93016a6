#include "kernels/simd/row_ops_body.inc"

namespace mixspan::simd {

constinit const RowOps kAvx2RowOps = make_row_ops<8>();

}  // namespace mixspan::simd
