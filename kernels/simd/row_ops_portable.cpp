#include "kernels/simd/row_ops_body.inc"

namespace mixspan::simd {

constinit const RowOps kPortableRowOps = make_row_ops<4>();

}  // namespace mixspan::simd
