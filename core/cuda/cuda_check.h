// How a CUDA call says that it failed. Only files of core/cuda and kernels/cuda include it.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

#include "core/error.h"
#include "core/stream.h"

namespace mixspan::cuda {

/// For a person: what does not fit what, and what would; null for other errors.
inline const char* misfit(cudaError_t status) {
  switch (status) {
    case cudaErrorNoKernelImageForDevice:
      return "this build has no code for this device: it has some for compute capability 8.x and "
             "9.0; device=cpu works";
    case cudaErrorInsufficientDriver:
      return "the NVIDIA driver is older than this build's CUDA; wanted a newer driver, a build "
             "with an older CUDA, or device=cpu";
    case cudaErrorSystemDriverMismatch:
      return "the NVIDIA driver's kernel module and its libraries are of different versions, as "
             "after an update; a restart of the machine mends that, and device=cpu works";
    case cudaErrorDevicesUnavailable:
      return "another process has the device for itself (compute mode), or it is being reset; "
             "wanted another device, or device=cpu";
    default:
      return nullptr;
  }
}

/// Throws Error with the place of the call and CUDA's name and text of the error.
inline void check(cudaError_t status,
                  std::source_location where = std::source_location::current()) {
  if (status != cudaSuccess) [[unlikely]] {
    cudaGetLastError();  // so that the next call does not report it again
    if (const char* why = misfit(status)) {
      fail("CUDA says {}: {} ({}:{})", cudaGetErrorName(status), why, where.file_name(),
           where.line());
    }
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
