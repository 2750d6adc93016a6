// Starts a kernel. Every launch goes through here, so that each is checked.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <limits>
#include <source_location>
#include <utility>

#include "core/cuda/cuda_check.h"
#include "core/exec.h"
#include "kernels/cuda/shared.cuh"

namespace mixspan::cuda {

/// The stream of a launch, and where in the source it stands. Made from an Exec or a Stream.
struct LaunchPlace {
  Stream stream;
  std::source_location where;

  LaunchPlace(const Exec& ex,  // NOLINT: implicit, so that a launch notes its own line
              std::source_location at = std::source_location::current())
      : stream(ex.stream), where(at) {}
  LaunchPlace(Stream s,  // NOLINT
              std::source_location at = std::source_location::current())
      : stream(s), where(at) {}
};

/// A size as the int that kernels count with; throws where it does not fit.
inline int to_int(std::int64_t n) {
  mixspan::check(n >= 0 && n <= std::numeric_limits<int>::max(),
                 "a kernel counts to {} with an int", n);
  return static_cast<int>(n);
}

/// ceil(n / per): how many blocks take n items.
inline unsigned blocks_for(std::int64_t n, std::int64_t per) {
  return static_cast<unsigned>(to_int((n + per - 1) / per));
}

/// kernel<<<grid, block, dynamic_shared_bytes, place.stream>>>(args...) on the calling thread's
/// device. A grid without blocks launches nothing. With `cluster`, that many neighbouring blocks
/// run as a cluster (compute capability 9.0).
template <class... Params, class... Args>
void launch_clusters(LaunchPlace place, void (*kernel)(Params...), dim3 grid, dim3 block,
                     std::size_t dynamic_shared_bytes, dim3 cluster, Args&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  if (dynamic_shared_bytes > kWithoutAsking) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               to_int(static_cast<std::int64_t>(dynamic_shared_bytes))),
          place.where);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = native(place.stream);
  cudaLaunchAttribute attribute{};
  if (cluster.x * cluster.y * cluster.z > 1) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = cluster.x;
    attribute.val.clusterDim.y = cluster.y;
    attribute.val.clusterDim.z = cluster.z;
    config.attrs = &attribute;
    config.numAttrs = 1;
  }
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(std::forward<Args>(args))...),
        place.where);
}

template <class... Params, class... Args>
void launch(LaunchPlace place, void (*kernel)(Params...), dim3 grid, dim3 block,
            std::size_t dynamic_shared_bytes, Args&&... args) {
  launch_clusters(place, kernel, grid, block, dynamic_shared_bytes, dim3(1, 1, 1),
                  std::forward<Args>(args)...);
}

}  // namespace mixspan::cuda
