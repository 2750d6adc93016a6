// CUDA's qualifiers, barriers, shuffles and votes, for the emulated build.
#pragma once

#include <source_location>
#include <type_traits>

#include "tests/emulation/emulation.h"
#include "tests/emulation/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// All threads of a block run in one OS thread. static_shared.h finds these by their symbols.
#define __shared__ static thread_local

using EmulatedPlace = std::source_location;

// ---- barriers -----------------------------------------------------------------------------------

inline void __syncthreads(EmulatedPlace at = EmulatedPlace::current()) {
  char nothing = 0;
  mixspan::emulation::collective_erased(mixspan::emulation::Group::block(), "__syncthreads",
                                        &nothing, nullptr, nullptr, at);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, EmulatedPlace at = EmulatedPlace::current()) {
  char nothing = 0;
  mixspan::emulation::collective_erased(mixspan::emulation::Group::warp(mask), "__syncwarp",
                                        &nothing, nullptr, nullptr, at);
}
inline int __syncthreads_count(int holds, EmulatedPlace at = EmulatedPlace::current()) {
  struct Part {
    bool holds;
    int count;
  } mine{holds != 0, 0};
  mixspan::emulation::collective(
      mixspan::emulation::Group::block(), "__syncthreads_count", mine,
      [](mixspan::emulation::Deposits<Part> all) {
        int count = 0;
        for (int t = 0; t < all.size(); ++t) count += all[t] != nullptr && all[t]->holds;
        for (int t = 0; t < all.size(); ++t) {
          if (all[t] != nullptr) all[t]->count = count;
        }
      },
      at);
  return mine.count;
}
inline int __syncthreads_or(int holds, EmulatedPlace at = EmulatedPlace::current()) {
  return __syncthreads_count(holds, at) > 0;
}
inline int __syncthreads_and(int holds, EmulatedPlace at = EmulatedPlace::current()) {
  return __syncthreads_count(holds == 0, at) == 0;
}
inline void __threadfence_block() {}
inline void __threadfence() {}
inline void __threadfence_system() {}

// ---- shuffles -----------------------------------------------------------------------------------

namespace mixspan::emulation {

/// source(lane) says whose value a lane gets, within the part of `width` lanes that it is in.
template <class T, class Source>
T shuffle(const char* name, unsigned mask, T value, Source source, EmulatedPlace at) {
  static_assert(std::is_arithmetic_v<T>);
  struct Part {
    T value, result;
    int from;
  } mine{value, value, source(lane())};
  collective(
      Group::warp(mask), name, mine,
      [](Deposits<Part> all) {
        for (int to = 0; to < all.size(); ++to) {
          if (all[to] == nullptr) continue;
          Part* from = all[all[to]->from];
          // What a lane that does not take part "has" is not defined: as wrong as can be.
          all[to]->result = from != nullptr ? from->value : static_cast<T>(-1);
          if constexpr (std::is_floating_point_v<T>) {
            if (from == nullptr) all[to]->result = static_cast<T>(__builtin_nan(""));
          }
        }
      },
      at);
  return mine.result;
}

}  // namespace mixspan::emulation

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              EmulatedPlace at = EmulatedPlace::current()) {
  return mixspan::emulation::shuffle(
      "__shfl_sync", mask, value,
      [=](int lane) { return lane / width * width + (source & (width - 1)); }, at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  EmulatedPlace at = EmulatedPlace::current()) {
  return mixspan::emulation::shuffle(
      "__shfl_xor_sync", mask, value,
      [=](int lane) { return (lane ^ lanes) < lane / width * width + width ? lane ^ lanes : lane; },
      at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int lanes, int width = 32,
                   EmulatedPlace at = EmulatedPlace::current()) {
  return mixspan::emulation::shuffle(
      "__shfl_down_sync", mask, value,
      [=](int lane) { return lane % width + lanes < width ? lane + lanes : lane; }, at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int lanes, int width = 32,
                 EmulatedPlace at = EmulatedPlace::current()) {
  return mixspan::emulation::shuffle(
      "__shfl_up_sync", mask, value,
      [=](int lane) { return lane % width - lanes >= 0 ? lane - lanes : lane; }, at);
}

// ---- votes --------------------------------------------------------------------------------------

inline unsigned __ballot_sync(unsigned mask, int holds,
                              EmulatedPlace at = EmulatedPlace::current()) {
  struct Part {
    bool holds;
    unsigned ballot;
  } mine{holds != 0, 0};
  mixspan::emulation::collective(
      mixspan::emulation::Group::warp(mask), "__ballot_sync", mine,
      [](mixspan::emulation::Deposits<Part> all) {
        unsigned ballot = 0;
        for (int l = 0; l < all.size(); ++l) {
          if (all[l] != nullptr && all[l]->holds) ballot |= 1u << l;
        }
        for (int l = 0; l < all.size(); ++l) {
          if (all[l] != nullptr) all[l]->ballot = ballot;
        }
      },
      at);
  return mine.ballot;
}
inline int __any_sync(unsigned mask, int holds, EmulatedPlace at = EmulatedPlace::current()) {
  return __ballot_sync(mask, holds, at) != 0;
}
inline int __all_sync(unsigned mask, int holds, EmulatedPlace at = EmulatedPlace::current()) {
  return __ballot_sync(mask, holds == 0, at) == 0;
}
