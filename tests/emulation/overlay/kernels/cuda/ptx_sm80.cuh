// kernels/cuda/ptx_sm80.cuh for the emulated build.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/dtype.h"
#include "core/error.h"
#include "tests/emulation/emulation.h"
#include "tests/emulation/pending_copies.h"

namespace mixspan::cuda {

using SharedAddress = std::uint32_t;

inline SharedAddress shared_address(const void* p) { return emulation::shared_address(p); }

inline void cp_async_16(SharedAddress to, const void* from, bool valid) {
  emulation::PendingCopies::of_this_thread().start(to, from, 16, valid);
}
inline void cp_async_4(SharedAddress to, const void* from, bool valid) {
  emulation::PendingCopies::of_this_thread().start(to, from, 4, valid);
}
inline void cp_async_commit() { ++emulation::PendingCopies::of_this_thread().groups; }
template <int kPending>
inline void cp_async_wait() {
  emulation::PendingCopies::of_this_thread().wait(kPending);
}

namespace ldmatrix_emulated {

struct Part {
  const std::uint16_t* row;
  std::uint32_t r[4];
};

inline void load(std::uint32_t (&r)[4], SharedAddress row, bool transposed,
                 std::source_location where) {
  mixspan::check(row % 16 == 0, "ldmatrix: a row at {} is not aligned to 16 bytes", row);
  Part mine{static_cast<const std::uint16_t*>(emulation::shared_pointer(row, 16)), {}};
  emulation::collective(
      emulation::Group::warp(), transposed ? "ldmatrix.trans" : "ldmatrix", mine,
      [=](emulation::Deposits<Part> all) {
        for (int l = 0; l < 32; ++l) {
          for (int i = 0; i < 4; ++i) {
            const int major = l / 4, minor = 2 * (l % 4);
            std::uint32_t two[2];
            for (int e = 0; e < 2; ++e) {
              const int from = transposed ? minor + e : major, at = transposed ? major : minor + e;
              two[e] = all[8 * i + from]->row[at];
            }
            all[l]->r[i] = two[0] | two[1] << 16;
          }
        }
      },
      where);
  std::memcpy(r, mine.r, sizeof r);
}

}  // namespace ldmatrix_emulated

inline void ldmatrix(std::uint32_t (&r)[4], SharedAddress row,
                     std::source_location where = std::source_location::current()) {
  ldmatrix_emulated::load(r, row, false, where);
}
inline void ldmatrix_transposed(std::uint32_t (&r)[4], SharedAddress row,
                                std::source_location where = std::source_location::current()) {
  ldmatrix_emulated::load(r, row, true, where);
}

/// Products are exact in fp32; they are added one after the other, which hardware need not do.
inline void mma_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                        std::uint32_t b1,
                        std::source_location where = std::source_location::current()) {
  struct Part {
    float c[4];
    std::uint32_t a[4], b[2];
  } mine{{c[0], c[1], c[2], c[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  emulation::collective(
      emulation::Group::warp(), "mma.m16n8k16", mine,
      [](emulation::Deposits<Part> all) {
        const auto half = [](std::uint32_t two, int which) {
          return std::bit_cast<float>(which == 0 ? two << 16 : two & 0xffff0000u);
        };
        float A[16][16], B[16][8];
        for (int l = 0; l < 32; ++l) {
          const int g = l / 4, t = 2 * (l % 4);
          for (int e = 0; e < 2; ++e) {
            for (int i = 0; i < 4; ++i) {
              A[g + 8 * (i % 2)][t + e + 8 * (i / 2)] = half(all[l]->a[i], e);
            }
            for (int i = 0; i < 2; ++i) B[t + e + 8 * i][g] = half(all[l]->b[i], e);
          }
        }
        for (int l = 0; l < 32; ++l) {
          for (int i = 0; i < 4; ++i) {
            const int row = l / 4 + 8 * (i / 2), column = 2 * (l % 4) + i % 2;
            float sum = all[l]->c[i];
            for (int k = 0; k < 16; ++k) sum += A[row][k] * B[k][column];
            all[l]->c[i] = sum;
          }
        }
      },
      where);
  std::memcpy(c, mine.c, sizeof c);
}

inline float exp2_approx(float x) {
  const float y = std::exp2(x);
  return y < 1.17549435e-38f ? 0.0f : y;
}
inline float tanh_approx(float x) {
  // Rounded to 11 bits, as coarse as the hardware may be.
  const auto bits = std::bit_cast<std::uint32_t>(std::tanh(x));
  return std::bit_cast<float>((bits + 0x800u) & 0xfffff000u);
}

}  // namespace mixspan::cuda
