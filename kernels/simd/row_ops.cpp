#include "kernels/simd/row_ops.h"

namespace mixspan::simd {

const RowOps& row_ops(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return kAvx512RowOps;
    case Isa::avx2:
      return kAvx2RowOps;
    case Isa::portable:
      break;
  }
  return kPortableRowOps;
}

}  // namespace mixspan::simd
