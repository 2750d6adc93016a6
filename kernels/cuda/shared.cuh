// Dynamic shared memory of a kernel. Tests replace this file (tests/emulation/overlay).
#pragma once

#include <cuda_runtime.h>

namespace mixspan::cuda {

/// What the launch asked for, 1024-byte aligned (what the 128-byte swizzle of Hopper wants).
template <class T>
__device__ inline T* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}

}  // namespace mixspan::cuda
