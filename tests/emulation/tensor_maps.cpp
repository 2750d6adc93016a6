#include "tests/emulation/tensor_maps.h"

#include <cuda.h>

#include <cstring>
#include <limits>

#include "core/error.h"

namespace mixspan::emulation {

MapContents contents_of_map(const void* map) {
  MapContents m;
  std::memcpy(&m, map, sizeof(m));
  check(reinterpret_cast<std::uintptr_t>(map) % 64 == 0 && m.magic == MapContents::kMagic,
        "{} is no tensor map", map);
  return m;
}

}  // namespace mixspan::emulation

// Ranks up to 4, 2-byte elements, whole steps: what the project asks for. All else is refused.
CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                void* address, const cuuint64_t* sizes, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* steps,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  using mixspan::emulation::MapContents;
  constexpr std::uint64_t element = 2, most_stride = std::uint64_t{1} << 40;
  bool right = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 && rank >= 1 && rank <= 4 &&
               interleave == CU_TENSOR_MAP_INTERLEAVE_NONE &&
               reinterpret_cast<std::uintptr_t>(map) % 64 == 0 &&
               reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
  if (!right) return CUDA_ERROR_INVALID_VALUE;
  MapContents m{MapContents::kMagic,
                static_cast<std::byte*>(address),
                {},
                {},
                {},
                rank,
                swizzle == CU_TENSOR_MAP_SWIZZLE_128B};
  for (std::uint32_t d = 0; d < 4; ++d) {
    m.sizes[d] = m.box[d] = 1;
    if (d >= rank) continue;
    right &= sizes[d] >= 1 && sizes[d] <= std::numeric_limits<std::uint32_t>::max();
    right &= box[d] >= 1 && box[d] <= 256 && steps[d] == 1;
    m.sizes[d] = static_cast<std::uint32_t>(sizes[d]);
    m.box[d] = box[d];
    if (d == 0) continue;
    m.strides[d - 1] = strides[d - 1];
    right &= strides[d - 1] % 16 == 0 && strides[d - 1] < most_stride;
  }
  right &= box[0] * element % 16 == 0 && (!m.swizzled || box[0] * element <= 128);
  if (!right) return CUDA_ERROR_INVALID_VALUE;
  std::memset(map, 0, sizeof(*map));
  std::memcpy(map, &m, sizeof(m));
  return CUDA_SUCCESS;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool found = std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
  *function = found ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *result = found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
