// Sums in device memory that several blocks add to in a fixed order: what the copy engine adds, and
// flags by which one block tells another that it has; and two more words that only the kernel with
// such sums has a use for. sm_90a.
#pragma once

#include "kernels/cuda/ptx_sm90.cuh"

namespace mixspan::cuda {

/// Four numbers in shared memory that copies out will read, after show_to_copies().
__device__ inline void store_quad(float4* to, float4 x) { *to = x; }

/// One thread starts the copy of `bytes` (a multiple of 16, from and to multiples of 16) of shared
/// memory to device memory, in its open group; or the addition of such floats to those there.
__device__ inline void copy_bytes_out(void* to, const void* from, int bytes) {
  asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(
                   __cvta_generic_to_global(to)),
               "r"(shared_address(from)), "r"(bytes)
               : "memory");
}
__device__ inline void add_floats_out(float* to, const void* from, int bytes) {
  asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(
                   __cvta_generic_to_global(to)),
               "r"(shared_address(from)), "r"(bytes)
               : "memory");
}
/// Waits until what the calling thread's groups write is there for it to see.
__device__ inline void wait_copies_out() {
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
}

/// What the calling thread's groups wrote, which it has waited for, comes before the flag for
/// whoever waits for that.
__device__ inline void set_flag(std::int32_t* flag, std::int32_t value) {
  asm volatile("fence.proxy.async.global;" ::: "memory");
  asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(__cvta_generic_to_global(flag)),
               "r"(value)
               : "memory");
}
/// Waits for exactly this value; copies out that the calling thread starts later come after it.
__device__ inline void wait_for_flag(const std::int32_t* flag, std::int32_t value) {
  std::int32_t seen;
  do {
    asm volatile("ld.acquire.gpu.global.s32 %0, [%1];"
                 : "=r"(seen)
                 : "l"(__cvta_generic_to_global(flag))
                 : "memory");
  } while (seen != value);
  asm volatile("fence.proxy.async.global;" ::: "memory");
}

/// The same address, which the compiler does not know to be the one of the loop's last turn: what
/// follows from it is computed anew instead of being kept in registers.
__device__ inline SharedAddress anew(SharedAddress at) {
  asm volatile("" : "+r"(at));
  return at;
}

/// Stores four 8 x 8 matrices of 16-bit elements, each transposed: what a lane holds of one row
/// goes to two rows.
__device__ inline void store_matrices_turned(SharedAddress row, const std::uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

}  // namespace mixspan::cuda
