// Where and with what an operation runs. Passed down to every operation; it replaces every global.
#pragma once

#include "core/arena.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/thread_pool.h"

namespace mixspan {

class Tracer;
namespace cuda {
class Libraries;
}

/// What matrix products and attention multiply. bf16: operands are rounded to it, sums are fp32.
enum class Precision { fp32, bf16 };

/// Which attention kernel runs on a device; automatic is the fastest that can do it. The names a
/// person uses and what each can do: kernels/cuda/attention_choice.h.
enum class AttentionKernel { automatic, naive, mma, wgmma };

/// How wgmma goes backward: by two kernels or by one
/// (kernels/cuda/attention_wgmma_backward_sm90.cu); automatic is split until a GPU has shown the
/// other to be faster.
enum class AttentionBackward { automatic, split, fused };

struct Exec {
  Device device;
  Stream stream = {};  ///< all work for the device goes here, in order; nothing on a CPU
  ThreadPool& threads;
  cuda::Libraries* libraries = nullptr;  ///< for matrix products on a device; null on a CPU
  Arena& scratch;  ///< temporaries of one operation, of the device; released before it returns
  Isa isa = best_isa();  ///< CPU path; tests set it lower to run every path
  Precision precision = Precision::fp32;
  AttentionKernel attention = AttentionKernel::automatic;
  AttentionBackward attention_backward = AttentionBackward::automatic;
  bool oracle = false;       ///< run the plain loops instead of the fast version, where both exist
  Tracer* tracer = nullptr;  ///< null: no trace
};

/// What activations, and the weights that kernels read, are stored as: on a CPU always fp32.
inline DType storage_dtype(const Exec& ex) {
  return ex.device.is_cuda() && ex.precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

}  // namespace mixspan
