// Whether cuBLASLt's GELU is the one that this program means: the tanh form.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

/// The largest |gelu(x) - wanted(x)| over values of x where the tanh form and the erf form lie
/// furthest apart, for the GELU that a product of this
/// dtype computes.
struct GeluDistance {
  double tanh_form = 0, erf_form = 0;
  bool computed = false;  ///< false: cuBLASLt has no such epilogue for this dtype
};
/// Runs one small product on the device and waits for it.
GeluDistance measure_gelu_epilogue(const Exec&, DType);

/// Throws Error when it is not the tanh form. Measured once for each Libraries and dtype.
void check_gelu_epilogue(const Exec&, DType);

}  // namespace mixspan::cuda
