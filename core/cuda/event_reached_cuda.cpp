#include <cuda_runtime.h>

#include "core/cuda/cuda_check.h"
#include "core/event_reached.h"

namespace mixspan {

bool reached(Event event) {
  const cudaError_t status = cudaEventQuery(cuda::native(event));
  if (status == cudaErrorNotReady) {
    cudaGetLastError();  // no error, but kept like one
    return false;
  }
  cuda::check(status);
  return true;
}

}  // namespace mixspan
