// What the machine can do at best, measured: the yardstick for MFU.
#pragma once

#include "core/exec.h"

namespace mixspan {

/// FLOP/s of the best of several large square fp32 matrix products on all threads of `exec`. Takes
/// about a quarter of a second; a busy machine measures low.
double measure_sgemm_peak(const Exec& exec);

}  // namespace mixspan
