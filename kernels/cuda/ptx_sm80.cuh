// The instructions of sm_80 that C++ has no words for, one function each. The only file with their
// assembly; the emulation has a file of the same name that does the same without.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace mixspan::cuda {

/// A place in the block's shared memory; bytes may be added.
using SharedAddress = std::uint32_t;

__device__ inline SharedAddress shared_address(const void* p) {
  return static_cast<SharedAddress>(__cvta_generic_to_shared(p));
}

/// Starts a copy of 16 bytes; zeros instead where `valid` is false, and `from` is then not read.
/// Both addresses are multiples of 16. Nothing may be assumed of `to` before the wait that covers
/// the copy, and by other threads before a barrier after it.
__device__ inline void cp_async_16(SharedAddress to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}
/// The same with 4 bytes.
__device__ inline void cp_async_4(SharedAddress to, const void* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from),
               "r"(valid ? 4 : 0)
               : "memory");
}
/// The calling thread's copies since its last commit become one group.
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// Waits until all but the calling thread's last `kPending` groups are there.
template <int kPending>
__device__ inline void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

/// Four 8 x 8 matrices of 16-bit elements. Lane l says where row l % 8 of matrix l / 8 begins (16
/// bytes, aligned), and gets elements (l / 4, 2 (l % 4) + {0, 1}) of matrix i in r[i], the first in
/// the lower half.
__device__ inline void ldmatrix(std::uint32_t (&r)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
/// The same of the transposed matrices: elements (2 (l % 4) + {0, 1}, l / 4).
__device__ inline void ldmatrix_transposed(std::uint32_t (&r)[4], SharedAddress row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}

/// c += a b with a (16 x 16, row-major) and b (16 x 8) in bf16, c (16 x 8) in fp32. With g = lane /
/// 4 and t = 2 (lane % 4), a lane holds of a: (g, t+{0,1}), (g+8, ..), (g, t+8+{0,1}), (g+8, ..);
/// of b: (t+{0,1}, g), (t+8+{0,1}, g); of c: (g, t), (g, t+1), (g+8, t), (g+8, t+1).
__device__ inline void mma_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                   std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// 2^x to within 2 units in the last place; 0 for -infinity and below the normal numbers.
__device__ inline float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}
/// tanh(x) with a relative error of at most 2^-11: enough where the result is rounded to bf16.
__device__ inline float tanh_approx(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace mixspan::cuda
