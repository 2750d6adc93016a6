// The instructions of sm_90a that C++ has no words for, one function each: barriers that count
// bytes, copies of tiles by the copy engine, orders between it and the threads. Products:
// ptx_sm90_wgmma.cuh. The emulation has files of the same names that do the same without assembly.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/ptx_sm80.cuh"
#include "kernels/cuda/tensor_map.h"

namespace mixspan::cuda {

// ---- barriers in shared memory ------------------------------------------------------------------

/// A barrier's phase ends when `arrivals` have arrived and all bytes that were announced have come.
using Barrier = std::uint64_t;

/// By one thread; others may use the barrier after publish_barriers() and __syncthreads().
__device__ inline void barrier_init(Barrier* b, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals)
               : "memory");
}
/// By the thread that initialised: makes the barriers known to the copy engine.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void barrier_arrive(Barrier* b) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
/// Arrives, and announces `bytes` of copies that belong to this phase.
__device__ inline void barrier_arrive_expecting(Barrier* b, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)),
               "r"(bytes)
               : "memory");
}
/// Waits until the phase of the given parity has ended: phases count 0, 1, 0, .. and the one before
/// the first counts as ended, with parity 1.
__device__ inline void barrier_wait(Barrier* b, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra.uni over;\n"
      "bra.uni again;\n"
      "over:\n"
      "}" ::"r"(shared_address(b)),
      "r"(parity)
      : "memory");
}

/// Barriers by number, 1 .. 15, for `threads` (a multiple of 32): sync waits for that many
/// arrivals, its own warp's included; arrive does not wait.
__device__ inline void named_barrier_sync(int number, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
__device__ inline void named_barrier_arrive(int number, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

// ---- copies -------------------------------------------------------------------------------------

__device__ inline void prefetch_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
/// One thread starts the copy of the box at (column, row, head, sequence); its bytes count on the
/// barrier, those of rows that do not exist too. `to`: 1024-byte aligned.
__device__ inline void copy_box_in(void* to, const TensorMap& map, Barrier* b, int column, int row,
                                   int head, int sequence) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%2, %3, %4, %5}], [%6];" ::"r"(shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(head), "r"(sequence), "r"(shared_address(b))
      : "memory");
}
/// The other way. What the threads wrote must have been shown with show_to_copies() by each of them
/// before a barrier.
__device__ inline void copy_box_out(const TensorMap& map, const void* from, int column, int row,
                                    int head, int sequence) {
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3, %4}], "
      "[%5];" ::"l"(&map),
      "r"(column), "r"(row), "r"(head), "r"(sequence), "r"(shared_address(from))
      : "memory");
}
/// Bytes in a row, a multiple of 16, from and to multiples of 16.
__device__ inline void copy_bytes_in(void* to, const void* from, int bytes, Barrier* b) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
      "[%3];" ::"r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(b))
      : "memory");
}
/// The calling thread's copies out since its last commit become one group.
__device__ inline void commit_copies_out() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
/// Waits until the calling thread's groups have read their shared memory, which may then be reused.
__device__ inline void wait_copies_out_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
/// What the calling thread wrote to shared memory, and what it knows to be read, comes before later
/// copies and products that are ordered after it.
__device__ inline void show_to_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- warps --------------------------------------------------------------------------------------

/// True in one lane of a whole warp.
__device__ inline bool elected_lane() {
  std::uint32_t elected;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "elect.sync _|p, 0xffffffff;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(elected));
  return elected != 0;
}
/// How many registers each thread of the calling warpgroup has from here on, a multiple of 8.
template <int kRegisters>
__device__ inline void give_back_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
/// Stores four 8 x 8 matrices of 16-bit elements as ldmatrix loads them.
__device__ inline void store_matrices(SharedAddress row, const std::uint32_t (&r)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
               "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3])
               : "memory");
}

}  // namespace mixspan::cuda
