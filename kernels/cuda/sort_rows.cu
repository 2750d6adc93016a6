#include "kernels/cuda/sort_rows.h"

#include <bit>
#include <utility>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace mixspan::cuda {

namespace {

// Each pass sorts by four bits. A thread has kEach neighbouring entries, so that counts by thread
// keep their order.
constexpr int kThreads = 256, kEach = 4, kTile = kThreads * kEach;
constexpr int kBits = 4, kDigits = 1 << kBits;

using Counts = int[kDigits][kThreads];

struct Pass {
  const std::int32_t *keys, *rows;
  std::int32_t *sorted_keys, *sorted_rows;
  std::int64_t n;
  int shift;
};

__global__ void __launch_bounds__(kThreads)
    make_keys(std::int32_t* keys, std::int32_t* rows, const std::int32_t* indices, std::int64_t n,
              std::int64_t begin, std::int64_t held) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const std::int64_t index = indices[i] - begin;
  keys[i] = static_cast<std::int32_t>(index >= 0 && index < held ? index : held);
  rows[i] = static_cast<std::int32_t>(i);
}

__device__ inline int digit_of(const Pass& p, std::int64_t i) {
  return (p.keys[i] >> p.shift) & (kDigits - 1);
}
__device__ inline std::int64_t first_of_thread() {
  return std::int64_t{blockIdx.x} * kTile + threadIdx.x * kEach;
}

// Each thread's entries by digit.
__device__ void count(Counts& counts, const Pass& p) {
  const int t = static_cast<int>(threadIdx.x);
  for (int d = 0; d < kDigits; ++d) counts[d][t] = 0;
  const std::int64_t first = first_of_thread();
  for (int e = 0; e < kEach && first + e < p.n; ++e) ++counts[digit_of(p, first + e)][t];
  __syncthreads();
}

// Of a row of counts, by a warp: lane l has the threads [l * kThreads / 32, ...).
constexpr int kOfLane = kThreads / kWarp, kWarps = kThreads / kWarp;

__device__ inline int lane_sum(const int (&counts)[kThreads], int lane) {
  int sum = 0;
#pragma unroll
  for (int i = 0; i < kOfLane; ++i) sum += counts[lane * kOfLane + i];
  return sum;
}

// offsets (kDigits, blocks): how many entries of each digit each block has.
__global__ void __launch_bounds__(kThreads) count_digits(int* offsets, Pass p) {
  __shared__ Counts counts;
  count(counts, p);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int d = static_cast<int>(threadIdx.x) / kWarp; d < kDigits; d += kWarps) {
    const int all = warp_sum(lane_sum(counts[d], lane));
    if (lane == 0) offsets[d * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x)] = all;
  }
}

// Sum of x over the threads before this one; kThreads threads.
__device__ int sum_before(int x, int (&sums)[kThreads]) {
  const int t = static_cast<int>(threadIdx.x);
  sums[t] = x;
  __syncthreads();
  for (int distance = 1; distance < kThreads; distance *= 2) {
    const int add = t >= distance ? sums[t - distance] : 0;
    __syncthreads();
    sums[t] += add;
    __syncthreads();
  }
  return sums[t] - x;
}

// One block: replaces the n counts by the sums of those before them.
__global__ void __launch_bounds__(kThreads) scan_counts(int* counts, int n) {
  __shared__ int sums[kThreads];
  const int each = (n + kThreads - 1) / kThreads;
  const int first = static_cast<int>(threadIdx.x) * each, end = first + each < n ? first + each : n;
  int own = 0;
  for (int i = first; i < end; ++i) own += counts[i];
  int before = sum_before(own, sums);
  for (int i = first; i < end; ++i) {
    const int here = counts[i];
    counts[i] = before;
    before += here;
  }
}

// offsets: where the entries of each digit and block begin.
__global__ void __launch_bounds__(kThreads) place_entries(const int* offsets, Pass p) {
  __shared__ Counts counts;
  count(counts, p);
  const int t = static_cast<int>(threadIdx.x), lane = t % kWarp;
  for (int d = t / kWarp; d < kDigits; d += kWarps) {
    int(&of_threads)[kThreads] = counts[d];
    const int own = lane_sum(of_threads, lane);
    int up_to = own;  // sum over the lanes up to this one
#pragma unroll
    for (int distance = 1; distance < kWarp; distance *= 2) {
      const int add = __shfl_up_sync(kAllLanes, up_to, distance);
      if (lane >= distance) up_to += add;
    }
    int at = offsets[d * static_cast<int>(gridDim.x) + static_cast<int>(blockIdx.x)] + up_to - own;
#pragma unroll
    for (int i = 0; i < kOfLane; ++i) {
      const int here = of_threads[lane * kOfLane + i];
      of_threads[lane * kOfLane + i] = at;
      at += here;
    }
  }
  __syncthreads();
  const std::int64_t first = first_of_thread();
  for (int e = 0; e < kEach && first + e < p.n; ++e) {
    const int to = counts[digit_of(p, first + e)][t]++;
    p.sorted_keys[to] = p.keys[first + e];
    p.sorted_rows[to] = p.rows[first + e];
  }
}

}  // namespace

SortedRows sort_rows(const Exec& ex, ConstView indices, std::int64_t begin, std::int64_t held) {
  const std::int64_t n = indices.size();
  const auto numbers = [&](std::int64_t size) {
    return ex.scratch.allocate("sort rows", {size}, DType::i32);
  };
  SortedRows from{numbers(n), numbers(n)}, to{numbers(n), numbers(n)};
  if (n == 0) return from;
  launch(ex, make_keys, blocks_for(n, kThreads), kThreads, 0, from.keys.data<std::int32_t>(),
         from.rows.data<std::int32_t>(), indices.data<std::int32_t>(), n, begin, held);
  const unsigned blocks = blocks_for(n, kTile);
  const View counts = numbers(kDigits * std::int64_t{blocks});
  int* const offsets = counts.data<std::int32_t>();
  to_int(n);
  const int bits = std::bit_width(static_cast<std::uint64_t>(held));
  for (int shift = 0; shift < bits; shift += kBits) {
    const Pass pass{from.keys.data<std::int32_t>(),
                    from.rows.data<std::int32_t>(),
                    to.keys.data<std::int32_t>(),
                    to.rows.data<std::int32_t>(),
                    n,
                    shift};
    launch(ex, count_digits, blocks, kThreads, 0, offsets, pass);
    launch(ex, scan_counts, 1, kThreads, 0, offsets, to_int(counts.size()));
    launch(ex, place_entries, blocks, kThreads, 0, static_cast<const int*>(offsets), pass);
    std::swap(from, to);
  }
  return from;
}

}  // namespace mixspan::cuda
