#include "kernels/simd/row_ops_body.inc"

namespace mixspan::simd {

constinit const RowOps kAvx512RowOps = make_row_ops<16>();

}  // namespace mixspan::simd
