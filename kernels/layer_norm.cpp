#include "kernels/layer_norm.h"

#include <cmath>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/layer_norm.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

float* row_of(const View& v, std::int64_t r) { return v.data<float>() + r * v.stride(0); }
const float* row_of(const ConstView& v, std::int64_t r) {
  return v.data<float>() + r * v.stride(0);
}

// f32 whatever x is; but the oracle's views are all of one type.
void check_f32(const Exec& exec, std::string_view name, const ConstView& v, std::int64_t size) {
  check_shape(name, v, {size});
  if (!exec.oracle) check_dtype(name, v, DType::f32);
}
void check_like(std::string_view name, const ConstView& v, const Shape& shape, const ConstView& x) {
  check_shape(name, v, shape);
  check_dtype(name, v, x.dtype());
}

}  // namespace

void layer_norm_forward(const Exec& exec, View y, View mean, View rstd, ConstView x, ConstView gain,
                        ConstView bias, float eps) {
  const TraceRange range(exec.tracer, "layer norm");
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  check_like("layer_norm_forward: y", y, {rows, C}, x);
  check_f32(exec, "layer_norm_forward: mean", mean, rows);
  check_f32(exec, "layer_norm_forward: rstd", rstd, rows);
  check_like("layer_norm_forward: gain", gain, {C}, x);
  check_like("layer_norm_forward: bias", bias, {C}, x);
  if (exec.device.is_cuda()) {
    return cuda::layer_norm_forward(exec, y, mean, rstd, x, gain, bias, eps);
  }
  if (exec.oracle) return oracle::layer_norm_forward(y, mean, rstd, x, gain, bias, eps);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  const float *g = gain.data<float>(), *b = bias.data<float>();
  for_each_chunk(exec.threads, rows, rows_per_chunk(C), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const float* in = row_of(x, r);
      const float m = ops.mean(in, C);
      const float s = 1.0f / std::sqrt(ops.variance(in, m, C) + eps);
      ops.normalise(row_of(y, r), {.x = in, .gain = g, .mean = m, .rstd = s}, b, C);
      mean.data<float>()[r] = m;
      rstd.data<float>()[r] = s;
    }
  });
}

void layer_norm_backward(const Exec& exec, View dx, View dgain, View dbias, ConstView dy,
                         ConstView x, ConstView gain, ConstView mean, ConstView rstd, DxMode mode) {
  const TraceRange range(exec.tracer, "layer norm");
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  check_like("layer_norm_backward: dx", dx, {rows, C}, x);
  check_like("layer_norm_backward: dy", dy, {rows, C}, x);
  check_f32(exec, "layer_norm_backward: mean", mean, rows);
  check_f32(exec, "layer_norm_backward: rstd", rstd, rows);
  check_like("layer_norm_backward: gain", gain, {C}, x);
  check_f32(exec, "layer_norm_backward: dgain", dgain, C);
  check_f32(exec, "layer_norm_backward: dbias", dbias, C);
  if (exec.device.is_cuda()) {
    return cuda::layer_norm_backward(exec, dx, dgain, dbias, dy, x, gain, mean, rstd, mode);
  }
  if (exec.oracle) {
    return oracle::layer_norm_backward(dx, dgain, dbias, dy, x, gain, mean, rstd, mode);
  }
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  const Arena::Scope scope = exec.scratch.scope();
  // The gradients of gain and bias from each piece of rows; joined in order afterwards.
  const std::int64_t piece = rows_per_chunk(C), pieces = chunk_count(rows, piece);
  const View partial = exec.scratch.allocate("layer_norm_backward", {pieces, 2, C});
  for_each_chunk(exec.threads, rows, piece, [&](auto begin, auto end, std::int64_t chunk) {
    float* dg = partial.data<float>() + chunk * 2 * C;
    float* db = dg + C;
    std::fill(dg, dg + 2 * C, 0.0f);
    for (std::int64_t r = begin; r < end; ++r) {
      const simd::NormRow row{.x = row_of(x, r),
                              .gain = gain.data<float>(),
                              .mean = mean.data<float>()[r],
                              .rstd = rstd.data<float>()[r]};
      ops.norm_backward(row_of(dx, r), mode == DxMode::add, dg, db, row_of(dy, r), row, C);
    }
  });
  for (std::int64_t p = 0; p < pieces; ++p) {
    ops.add(dgain.data<float>(), partial.data<float>() + 2 * p * C, C);
    ops.add(dbias.data<float>(), partial.data<float>() + (2 * p + 1) * C, C);
  }
}

}  // namespace mixspan
