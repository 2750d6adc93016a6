// How a CUDA call says that it failed. Only files of core/cuda and kernels/cuda include it.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

#include "core/error.h"
#include "core/stream.h"

namespace mixspan::cuda {

/// Throws Error with the place of the call and CUDA's name and text of the error.
inline void check(cudaError_t status,
                  std::source_location where = std::source_location::current()) {
  if (status != cudaSuccess) [[unlikely]] {
    cudaGetLastError();  // so that the next call does not report it again
    fail("{}:{}: CUDA says {}: {}", where.file_name(), where.line(), cudaGetErrorName(status),
         cudaGetErrorString(status));
  }
}

/// After a launch: whether it was accepted. Errors while the kernel runs come out of a later call.
inline void check_launch(std::source_location where = std::source_location::current()) {
  check(cudaGetLastError(), where);
}

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.handle()); }
inline cudaEvent_t native(Event event) { return static_cast<cudaEvent_t>(event.handle()); }

}  // namespace mixspan::cuda
