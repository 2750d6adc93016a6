// The one matrix product the project does not write itself: a single-threaded sgemm from oneDNN
// (sgemm_onednn.cpp) or OpenBLAS (sgemm_openblas.cpp), whichever CMake found.
#pragma once

#include <cstdint>

namespace mixspan {

/// A row-major operand: element (i, j) of the stored matrix lies at data[i * stride + j].
struct SgemmOperand {
  const float* data;
  std::int64_t stride;
  bool transposed;
};

/// c(M, N) = a(M, K) b(K, N), or c += when `add`, on the calling thread alone. M, N, K >= 1.
void sgemm(std::int64_t M, std::int64_t N, std::int64_t K, SgemmOperand a, SgemmOperand b, float* c,
           std::int64_t c_stride, bool add);

}  // namespace mixspan
