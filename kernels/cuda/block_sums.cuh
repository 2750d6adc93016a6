// Sums and maxima over blocks whose number of threads follows from the length of a row.
#pragma once

#include "kernels/cuda/vec.cuh"

namespace mixspan::cuda {

/// A slot of shared memory for each warp of a block.
template <class T>
using WarpSlots = T[32];

/// Every thread of the block gets op() over the slots of its warps, in order. All must call it.
template <class T, class Op>
__device__ inline T over_slots(const WarpSlots<T>& slots, Op op) {
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  T x = slots[0];
  for (int w = 1; w < warps; ++w) x = op(x, slots[w]);
  return x;
}

/// Over a block of whole warps in one dim, all of which must call it; every thread gets the same
/// bits. The slots may be written again after the next __syncthreads().
template <class T, class Op>
__device__ inline T over_block(T x, WarpSlots<T>& slots, Op op) {
  x = warp_reduce(x, op);
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = x;
  return over_slots(slots, op);
}

}  // namespace mixspan::cuda
