// kernels/cuda/ptx_convert.cuh for the emulated build.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace mixspan::cuda {

inline std::uint16_t bf16_bits(float x) {
  // The hardware gives one NaN for all.
  return x != x ? std::uint16_t{0x7fff} : bf16(x).bits;
}
inline std::uint32_t bf16x2_bits(float low, float high) {
  return bf16_bits(low) | static_cast<std::uint32_t>(bf16_bits(high)) << 16;
}

}  // namespace mixspan::cuda
