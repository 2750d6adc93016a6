#include "kernels/cuda/positions.h"

#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void fill_position(std::int32_t* positions, std::int64_t n, std::int64_t T,
                              std::int64_t first) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) positions[i] = static_cast<std::int32_t>(first + i % T);
}

// The first of [begin, begin + count) lies in row begin % S.
__global__ void mark_ring_row(std::uint8_t* marks, std::int64_t S, std::int64_t begin,
                              std::int64_t count) {
  const std::int64_t s = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (s < S) marks[s] = (s + S - begin % S) % S < count;
}

}  // namespace

void fill_positions(const Exec& ex, View positions, std::int64_t first) {
  const std::int64_t n = positions.size();
  launch(ex, fill_position, blocks_for(n, kThreads), kThreads, 0, positions.data<std::int32_t>(), n,
         positions.dim(1), first);
}

void mark_ring_rows(const Exec& ex, View marks, std::int64_t begin, std::int64_t end) {
  const std::int64_t S = marks.size();
  launch(ex, mark_ring_row, blocks_for(S, kThreads), kThreads, 0, marks.data<std::uint8_t>(), S,
         begin, end - begin);
}

}  // namespace mixspan::cuda
