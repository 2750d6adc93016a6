#include <cblas.h>

#include "kernels/sgemm.h"

namespace mixspan {

void sgemm(std::int64_t M, std::int64_t N, std::int64_t K, SgemmOperand a, SgemmOperand b, float* c,
           std::int64_t c_stride, bool add) {
  static const bool one_thread = [] {
    openblas_set_num_threads(1);  // its own threads would fight with ours
    return true;
  }();
  static_cast<void>(one_thread);
  cblas_sgemm(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
              b.transposed ? CblasTrans : CblasNoTrans, static_cast<blasint>(M),
              static_cast<blasint>(N), static_cast<blasint>(K), 1.0f, a.data,
              static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride),
              add ? 1.0f : 0.0f, c, static_cast<blasint>(c_stride));
}

}  // namespace mixspan
