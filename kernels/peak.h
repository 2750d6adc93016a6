// What the machine can do at best, measured: the yardstick for MFU.
#pragma once

#include "core/exec.h"

namespace mixspan {

/// FLOP/s of the best of several large square matrix products on all threads of `exec`, in its
/// precision. Takes about a quarter of a second; a busy machine measures low.
double measure_sgemm_peak(const Exec& exec);

/// The yardstick of a run with this Exec: measure_sgemm_peak() on a CPU; on a device the best of
/// several large square products of what its activations are stored as, after some to warm up.
double measure_gemm_peak(const Exec& exec);

/// FLOP/s of a forward pass of full attention, counting only visible pairs, on all threads.
double measure_attention_rate(const Exec& exec);

/// Bytes/s copied (each is read and written) between arrays larger than the caches, on all threads
/// or on the device.
double measure_copy_rate(const Exec& exec);

}  // namespace mixspan
