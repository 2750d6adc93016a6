#include "kernels/cuda/tensor_map.h"

#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <source_location>

#include "core/cuda/cuda_check.h"

namespace mixspan::cuda {

namespace {

/// The driver's function, asked of the runtime so that nothing links the driver's library.
auto* encode_function() {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  constexpr unsigned int first_version_with_it = 12000;
  check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, first_version_with_it,
                                         cudaEnableDefault, &found));
  mixspan::check(found == cudaDriverEntryPointSuccess && function != nullptr,
                 "this driver has no tensor maps (cuTensorMapEncodeTiled), which CUDA 12 brought");
  return reinterpret_cast<Encode>(function);
}

}  // namespace

TensorMap head_rows_map(const ConstView& x, int rows) {
  static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
  check_dtype("tensor map", x, DType::bf16);
  mixspan::check(x.shape().rank() == 4 && x.dim(3) % kBoxColumns == 0,
                 "tensor map: wanted (B, T, heads, H) with H a multiple of {}, got {}", kBoxColumns,
                 x.shape().str());
  // No dimension may be 0: a tensor without elements is never read.
  const auto size = [&](int d) {
    return static_cast<cuuint64_t>(std::max<std::int64_t>(x.dim(d), 1));
  };
  const auto bytes = [&](int d) {  // the stride of a dimension of one element means nothing
    const std::int64_t elements = x.dim(d) > 1 ? x.stride(d) : x.dim(3);
    return static_cast<cuuint64_t>(elements) * sizeof(bf16);
  };
  const cuuint64_t sizes[4] = {size(3), size(1), size(2), size(0)};
  const cuuint64_t strides[3] = {bytes(1), bytes(2), bytes(0)};
  const cuuint32_t box[4] = {kBoxColumns, static_cast<cuuint32_t>(rows), 1, 1};
  const cuuint32_t steps[4] = {1, 1, 1, 1};
  alignas(64) CUtensorMap encoded;
  const CUresult result = encode_function()(
      &encoded, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(x.raw()), sizes, strides,
      box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  mixspan::check(result == CUDA_SUCCESS,
                 "tensor map: the driver refuses {} with strides of {}, {} and {} bytes (error {})",
                 x.shape().str(), strides[0], strides[1], strides[2], static_cast<int>(result));
  TensorMap map;
  std::memcpy(&map, &encoded, sizeof(map));
  return map;
}

}  // namespace mixspan::cuda
