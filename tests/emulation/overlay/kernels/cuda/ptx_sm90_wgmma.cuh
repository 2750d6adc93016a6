// kernels/cuda/ptx_sm90_wgmma.cuh for the emulated build.
#pragma once

#include "kernels/cuda/ptx_sm90.cuh"

namespace mixspan::cuda {

enum class Major { k = 0, mn = 1 };

inline std::uint64_t matrix_at(SharedAddress at, int leading, int stride) {
  constexpr std::uint64_t swizzle_128 = std::uint64_t{1} << 62;
  return swizzle_128 | static_cast<std::uint64_t>(stride >> 4) << 32 |
         static_cast<std::uint64_t>(leading >> 4) << 16 | (at & 0x3ffff) >> 4;
}

inline void start_products(Where where = Where::current()) { emulation::start_products(where); }
inline void commit_products(Where where = Where::current()) { emulation::commit_products(where); }
template <int kPending>
inline void wait_products(Where where = Where::current()) {
  emulation::wait_products(kPending, where);
}
template <int N>
inline void pin(float (&)[N]) {}
template <int M, int N>
inline void pin(std::uint32_t (&)[M][N]) {}

template <Major kB, int N>
inline void wgmma(float (&d)[N], std::uint64_t a, std::uint64_t b, bool add,
                  Where where = Where::current()) {
  static_assert(N == 32 || N == 64);
  emulation::start_product({d, 2 * N, nullptr, a, b, kB == Major::mn, add}, where);
}
template <Major kB, int N>
inline void wgmma(float (&d)[N], const std::uint32_t (&a)[4], std::uint64_t b, bool add,
                  Where where = Where::current()) {
  static_assert(N == 32 || N == 64);
  emulation::start_product({d, 2 * N, a, 0, b, kB == Major::mn, add}, where);
}

}  // namespace mixspan::cuda
