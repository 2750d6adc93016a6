// How the memory-bound kernels read and write rows: in runs of 16 bytes, each owned by one thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/tensor.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace mixspan::cuda {

/// A run as it is stored: kPack<T> elements, of which those past the end of the row are zeros.
template <class T>
struct Run {
  uint4 words;
};

/// The run at p, of which `left` elements (more than 0) belong to the row. `aligned`: rows begin at
/// multiples of 16 bytes. A thread owns the same elements either way, so that no sum depends on
/// where a row lies.
template <class T>
__device__ inline Run<T> load_run(const T* p, std::int64_t left, bool aligned) {
  if (aligned && left >= kPack<T>) return {*reinterpret_cast<const uint4*>(p)};
  std::uint32_t words[4] = {};
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    if (i >= left) continue;
    if constexpr (sizeof(T) == 2) {
      words[i / 2] |= static_cast<std::uint32_t>(p[i].bits) << (16 * (i % 2));
    } else {
      words[i] = std::bit_cast<std::uint32_t>(p[i]);
    }
  }
  return {uint4{words[0], words[1], words[2], words[3]}};
}

template <class T>
__device__ inline void unpack(const Run<T>& run, float (&x)[kPack<T>]) {
  const std::uint32_t words[4] = {run.words.x, run.words.y, run.words.z, run.words.w};
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    if constexpr (sizeof(T) == 2) {
      x[i] = std::bit_cast<float>(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xffff0000u);
    } else {
      x[i] = std::bit_cast<float>(words[i]);
    }
  }
}

template <class T>
__device__ inline void read_run(float (&x)[kPack<T>], const T* p, std::int64_t left, bool aligned) {
  unpack(load_run(p, left, aligned), x);
}

/// Writes a run bit for bit, as much of it as belongs to the row.
template <class T>
__device__ inline void store_run(T* p, std::int64_t left, bool aligned, const Run<T>& run) {
  if (aligned && left >= kPack<T>) {
    *reinterpret_cast<uint4*>(p) = run.words;
    return;
  }
  const std::uint32_t words[4] = {run.words.x, run.words.y, run.words.z, run.words.w};
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    if (i >= left) continue;
    if constexpr (sizeof(T) == 2) {
      p[i].bits = static_cast<std::uint16_t>(words[i / 2] >> (16 * (i % 2)));
    } else {
      p[i] = std::bit_cast<T>(words[i]);
    }
  }
}

/// Rounds x to T and writes as much of it as belongs to the row.
template <class T>
__device__ inline void write_run(T* p, std::int64_t left, bool aligned,
                                 const float (&x)[kPack<T>]) {
  if (aligned && left >= kPack<T>) return store_floats(p, x);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    if (i < left) p[i] = from_float<T>(x[i]);
  }
}

/// (rows, C) whose rows may lie apart. T may be const.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
  __device__ T* operator[](std::int64_t r) const { return data + r * stride; }
};
template <class T>
Rows<const T> rows_of(const ConstView& v) {
  return {v.data<T>(), v.stride(0)};
}
template <class T>
Rows<T> rows_of(const View& v) {
  return {v.data<T>(), v.stride(0)};
}

/// Whether every row (last dim) of every view begins at a multiple of 16 bytes.
template <class... Views>
bool rows_aligned(const Views&... views) {
  const auto one = [](const ConstView& v) {
    bool aligned = reinterpret_cast<std::uintptr_t>(v.raw()) % 16 == 0;
    for (int d = 0; d + 1 < v.shape().rank(); ++d) {
      const std::int64_t apart = v.stride(d) * static_cast<std::int64_t>(size_of(v.dtype()));
      aligned = aligned && (v.dim(d) <= 1 || apart % 16 == 0);
    }
    return aligned;
  };
  return (one(views) && ...);
}
/// The same of contiguous views taken as one row each.
template <class... Views>
bool starts_aligned(const Views&... views) {
  return ((reinterpret_cast<std::uintptr_t>(views.raw()) % 16 == 0) && ...);
}

template <class T>
int runs_of(std::int64_t C) {
  return to_int((C + kPack<T> - 1) / kPack<T>);
}

/// Threads of a block in which each has one of `runs` runs at a time: whole warps, at most `limit`.
inline int threads_for(int runs, int limit) {
  return std::clamp((runs + kWarp - 1) / kWarp * kWarp, kWarp, limit);
}

}  // namespace mixspan::cuda
