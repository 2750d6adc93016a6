#include "kernels/residual.h"

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/residual.h"

namespace mixspan {

void bias_residual(const Exec& exec, View y, ConstView x, ConstView bias, ConstView residual) {
  const TraceRange range(exec.tracer, "residual");
  const std::int64_t rows = y.dim(0), C = y.dim(1);
  check_shape("bias_residual: x", x, {rows, C});
  check_shape("bias_residual: residual", residual, {rows, C});
  check_shape("bias_residual: bias", bias, {C});
  if (exec.device.is_cuda()) return cuda::bias_residual(exec, y, x, bias, residual);
  if (exec.oracle) return oracle::bias_residual(y, x, bias, residual);
  for_each_chunk(exec.threads, rows, rows_per_chunk(C), [&](auto begin, auto end, auto) {
    const float* b = bias.data<float>();
    for (std::int64_t r = begin; r < end; ++r) {
      const float* from = x.data<float>() + r * x.stride(0);
      const float* add = residual.data<float>() + r * residual.stride(0);
      float* to = y.data<float>() + r * y.stride(0);
      for (std::int64_t c = 0; c < C; ++c) to[c] = (from[c] + b[c]) + add[c];
    }
  });
}

}  // namespace mixspan
