// kernels/cuda/shared.cuh for the emulated build.
#pragma once

#include "tests/emulation/emulation.h"

namespace mixspan::cuda {

template <class T>
inline T* dynamic_shared() {
  return reinterpret_cast<T*>(emulation::dynamic_shared_memory().data());
}

}  // namespace mixspan::cuda
