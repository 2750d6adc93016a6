// y = (x - mean) / sqrt(var + eps) * gain + bias over the last dim. Ba et al. 2016,
// arXiv:1607.06450.
#pragma once

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// x, y: (rows, C) f32, on a device also bf16; rows may be strided. gain, bias: (C) as x. mean,
/// rstd: (rows) f32, kept for backward. Overwrites y, mean, rstd. Sums are taken in fp32 over a
/// fixed set of lanes which are then joined pairwise, variance around the mean (two passes).
void layer_norm_forward(const Exec&, View y, View mean, View rstd, ConstView x, ConstView gain,
                        ConstView bias, float eps);

/// Adds into dx (the residual branch's gradient is already there) or overwrites it; adds into dgain
/// and dbias. dx, dy: as x; dgain, dbias: (C) f32. Rows are summed in a fixed order, whatever the
/// number of threads or the device.
enum class DxMode { overwrite, add };
void layer_norm_backward(const Exec&, View dx, View dgain, View dbias, ConstView dy, ConstView x,
                         ConstView gain, ConstView mean, ConstView rstd, DxMode);

namespace oracle {
/// Plain loops, fp64 sums; f32 or f64 views (all of one dtype).
void layer_norm_forward(View y, View mean, View rstd, ConstView x, ConstView gain, ConstView bias,
                        double eps);
void layer_norm_backward(View dx, View dgain, View dbias, ConstView dy, ConstView x, ConstView gain,
                         ConstView mean, ConstView rstd, DxMode);
}  // namespace oracle

}  // namespace mixspan
