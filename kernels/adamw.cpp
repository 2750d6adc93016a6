#include "kernels/adamw.h"

#include <cmath>

#include "core/trace.h"
#include "kernels/cast.h"
#include "kernels/chunks.h"
#include "kernels/cuda/adamw.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

void adamw(const Exec& exec, View w, View m, View v, ConstView g, const AdamWStep& step,
           View rounded) {
  const TraceRange range(exec.tracer, "adamw");
  if (exec.oracle && !exec.device.is_cuda()) {  // it reads host memory
    oracle::adamw(w, m, v, g, step);
    if (!rounded.empty()) cast(exec, rounded, w);
    return;
  }
  for (const ConstView& view : {ConstView(w), ConstView(m), ConstView(v), g}) {
    check_shape("adamw", view, {w.dim(0)});
    check_dtype("adamw", view, DType::f32);
  }
  if (!rounded.empty()) {
    check_shape("adamw: rounded", rounded, {w.dim(0)});
    check_dtype("adamw: rounded", rounded, DType::bf16);
  }
  const double t = static_cast<double>(step.t);
  const simd::AdamWFactors factors{
      .beta1 = static_cast<float>(step.beta1),
      .one_minus_beta1 = static_cast<float>(1 - step.beta1),
      .beta2 = static_cast<float>(step.beta2),
      .one_minus_beta2 = static_cast<float>(1 - step.beta2),
      .eps = static_cast<float>(step.eps),
      .lr_m = static_cast<float>(step.lr / (1 - std::pow(step.beta1, t))),
      .inv_c2 = static_cast<float>(1 / (1 - std::pow(step.beta2, t))),
      .lr_wd = static_cast<float>(step.lr * step.weight_decay),
      .grad_scale = static_cast<float>(step.grad_scale)};
  if (exec.device.is_cuda()) return cuda::adamw(exec, w, m, v, g, factors, rounded);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, w.size(), kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    ops.adamw(w.data<float>() + begin, m.data<float>() + begin, v.data<float>() + begin,
              g.data<float>() + begin, factors, end - begin);
  });
  if (!rounded.empty()) cast(exec, rounded, w);
}

}  // namespace mixspan
