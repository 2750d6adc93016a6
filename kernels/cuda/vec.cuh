// Loads and stores of 16 bytes, bf16 to float and back, and sums over a warp or a block in a fixed
// order.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "kernels/cuda/ptx_convert.cuh"

namespace mixspan::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

// ---- elements -----------------------------------------------------------------------------------

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) {
  return __uint_as_float(static_cast<std::uint32_t>(x.bits) << 16);
}
/// bf16 is rounded to nearest even.
template <class T>
__device__ inline T from_float(float x) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, bf16>);
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    bf16 y;
    y.bits = bf16_bits(x);
    return y;
  }
}

// ---- packs --------------------------------------------------------------------------------------

/// N elements that move as one; aligned to their size, at most 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  static_assert(sizeof(T) * N <= 16 && (N & (N - 1)) == 0);
  T at[N];
};
/// How many T one load of 16 bytes brings: 4 float, 8 bf16.
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// p is aligned to N elements.
template <int N, class T>
__device__ inline Pack<T, N> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
__device__ inline void store_pack(T* p, const Pack<T, N>& values) {
  *reinterpret_cast<Pack<T, N>*>(p) = values;
}

/// N values of T, at any multiple of 16 bytes where N of them have more, as floats.
template <int N, class T>
__device__ inline void load_floats(float (&to)[N], const T* p) {
  constexpr int kStep = N < kPack<T> ? N : kPack<T>;
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    const Pack<T, kStep> values = load_pack<kStep>(p + i);
#pragma unroll
    for (int j = 0; j < kStep; ++j) to[i + j] = to_float(values.at[j]);
  }
}
/// The same way back, rounded to T.
template <int N, class T>
__device__ inline void store_floats(T* p, const float (&from)[N]) {
  constexpr int kStep = N < kPack<T> ? N : kPack<T>;
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    Pack<T, kStep> values;
    if constexpr (std::is_same_v<T, bf16> && kStep % 2 == 0) {
#pragma unroll
      for (int j = 0; j < kStep; j += 2) {
        const std::uint32_t two = bf16x2_bits(from[i + j], from[i + j + 1]);
        values.at[j].bits = static_cast<std::uint16_t>(two);
        values.at[j + 1].bits = static_cast<std::uint16_t>(two >> 16);
      }
    } else {
#pragma unroll
      for (int j = 0; j < kStep; ++j) values.at[j] = from_float<T>(from[i + j]);
    }
    store_pack(p + i, values);
  }
}

// ---- reductions ---------------------------------------------------------------------------------

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Max {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// Over the 32 lanes of a warp, all of which must call it. Every lane gets the same bits: each step
/// adds the same two numbers on both sides.
template <class T, class Op>
__device__ inline T warp_reduce(T x, Op op) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    x = op(x, __shfl_xor_sync(kAllLanes, x, distance));
  }
  return x;
}
template <class T>
__device__ inline T warp_sum(T x) {
  return warp_reduce(x, Add{});
}
__device__ inline float warp_max(float x) { return warp_reduce(x, Max{}); }

/// Over a block of kThreads (a multiple of 32) in one dim, all of which must call it; every thread
/// gets the result. Warps first, then their results in the order of the warps.
template <int kThreads, class T, class Op>
__device__ inline T block_reduce(T x, Op op) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  constexpr int kWarps = kThreads / kWarp;
  __shared__ T parts[kWarps];
  x = warp_reduce(x, op);
  if constexpr (kWarps == 1) return x;
  __syncthreads();  // an earlier call may still be read
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = x;
  __syncthreads();
  x = parts[0];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) x = op(x, parts[w]);
  return x;
}
template <int kThreads, class T>
__device__ inline T block_sum(T x) {
  return block_reduce<kThreads>(x, Add{});
}
template <int kThreads>
__device__ inline float block_max(float x) {
  return block_reduce<kThreads>(x, Max{});
}

}  // namespace mixspan::cuda
