#include "kernels/gelu.h"

#include "kernels/chunks.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

void gelu_forward(const Exec& exec, View y, ConstView x) {
  if (exec.oracle) return oracle::gelu_forward(y, x);
  check_shape("gelu_forward: y", y, x.shape());
  check_contiguous("gelu_forward: y", y);
  check_contiguous("gelu_forward: x", x);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  float* out = y.data<float>();
  const float* in = x.data<float>();
  for_each_chunk(exec.threads, x.size(), kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    ops.gelu(out + begin, in + begin, end - begin);
  });
}

void gelu_backward(const Exec& exec, View dx, ConstView dy, ConstView x) {
  if (exec.oracle) return oracle::gelu_backward(dx, dy, x);
  check_shape("gelu_backward: dx", dx, x.shape());
  check_shape("gelu_backward: dy", dy, x.shape());
  check_contiguous("gelu_backward: dx", dx);
  check_contiguous("gelu_backward: dy", dy);
  check_contiguous("gelu_backward: x", x);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  float* out = dx.data<float>();
  const float* upstream = dy.data<float>();
  const float* in = x.data<float>();
  for_each_chunk(exec.threads, x.size(), kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    ops.gelu_backward(out + begin, upstream + begin, in + begin, end - begin);
  });
}

}  // namespace mixspan
