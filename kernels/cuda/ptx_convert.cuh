// Conversions to and from bf16 by the hardware. Tests replace this file (tests/emulation/overlay).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace mixspan::cuda {

/// Two floats as bf16, each rounded to nearest even: `low` in the lower half.
__device__ inline std::uint32_t bf16x2_bits(float low, float high) {
  std::uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

/// One float as bf16, rounded to nearest even.
__device__ inline std::uint16_t bf16_bits(float x) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

}  // namespace mixspan::cuda
