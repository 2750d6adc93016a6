#include <omp.h>

#include <oneapi/dnnl/dnnl.h>

#include "core/error.h"
#include "kernels/sgemm.h"

namespace mixspan {

namespace {
// oneDNN would start an OpenMP team of its own inside each of our threads. The count is a property
// of the calling thread, so it is put back for whoever else uses OpenMP on it.
class OneOpenMpThread {
 public:
  OneOpenMpThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneOpenMpThread() { omp_set_num_threads(before_); }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;

 private:
  int before_;
};
}  // namespace

void sgemm(std::int64_t M, std::int64_t N, std::int64_t K, SgemmOperand a, SgemmOperand b, float* c,
           std::int64_t c_stride, bool add) {
  const OneOpenMpThread one_thread;
  const dnnl_status_t status =
      dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', M, N, K, 1.0f, a.data,
                 a.stride, b.data, b.stride, add ? 1.0f : 0.0f, c, c_stride);
  check(status == dnnl_success, "dnnl_sgemm of ({}, {}, {}) failed with status {}", M, N, K,
        static_cast<int>(status));
}

}  // namespace mixspan
