#include "kernels/simd/row_ops_body.h"

namespace mixspan::simd {

constinit const RowOps kPortableRowOps = make_row_ops<4>();

}  // namespace mixspan::simd
