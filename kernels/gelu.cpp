#include "kernels/gelu.h"

#include "core/trace.h"
#include "kernels/bf16_tiles.h"
#include "kernels/chunks.h"
#include "kernels/cuda/gelu.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

// Numbers stored as bf16 pass through a little fp32 memory on their way.
constexpr std::int64_t kPiece = 1024;

template <class Body>
void for_each_piece(const Exec& exec, std::int64_t n, Body&& body) {
  for_each_chunk(exec.threads, n, kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    for (std::int64_t at = begin; at < end; at += kPiece) body(at, std::min(kPiece, end - at));
  });
}

bool stored_as_bf16(std::string_view name, const ConstView& y, const ConstView& x) {
  check_dtype(name, x, y.dtype());
  return x.dtype() == DType::bf16;
}

std::uint16_t* halves(const View& x) { return static_cast<std::uint16_t*>(x.raw()); }
const std::uint16_t* halves(const ConstView& x) {
  return static_cast<const std::uint16_t*>(x.raw());
}

}  // namespace

void gelu_forward(const Exec& exec, View y, ConstView x) {
  const TraceRange range(exec.tracer, "gelu");
  check_shape("gelu_forward: y", y, x.shape());
  check_contiguous("gelu_forward: y", y);
  check_contiguous("gelu_forward: x", x);
  if (exec.device.is_cuda()) return cuda::gelu_forward(exec, y, x);
  if (exec.oracle) return oracle::gelu_forward(y, x);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  if (stored_as_bf16("gelu_forward: x", y, x)) {
    const bf16_product::Kernels& kernels = bf16_product::kernels(exec.isa);
    return for_each_piece(exec, x.size(), [&](std::int64_t at, std::int64_t n) {
      alignas(64) float piece[kPiece];
      kernels.widen(piece, halves(x) + at, n);
      ops.gelu(piece, piece, n);
      kernels.round(halves(y) + at, piece, n);
    });
  }
  float* out = y.data<float>();
  const float* in = x.data<float>();
  for_each_chunk(exec.threads, x.size(), kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    ops.gelu(out + begin, in + begin, end - begin);
  });
}

void gelu_backward(const Exec& exec, View dx, ConstView dy, ConstView x, View y) {
  const bool again = !y.empty();
  if (again) {
    check_shape("gelu_backward: y", y, x.shape());
    check_contiguous("gelu_backward: y", y);
  }
  if (again && (exec.device.is_cuda() || exec.oracle)) {  // which have no pass that does both
    gelu_backward(exec, dx, dy, x);
    return gelu_forward(exec, y, x);
  }
  const TraceRange range(exec.tracer, "gelu");
  check_shape("gelu_backward: dx", dx, x.shape());
  check_shape("gelu_backward: dy", dy, x.shape());
  check_contiguous("gelu_backward: dx", dx);
  check_contiguous("gelu_backward: dy", dy);
  check_contiguous("gelu_backward: x", x);
  if (exec.device.is_cuda()) return cuda::gelu_backward(exec, dx, dy, x);
  if (exec.oracle) return oracle::gelu_backward(dx, dy, x);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  check_dtype("gelu_backward: dy", dy, dx.dtype());
  if (again) check_dtype("gelu_backward: y", y, dx.dtype());
  if (stored_as_bf16("gelu_backward: x", dx, x)) {
    const bf16_product::Kernels& kernels = bf16_product::kernels(exec.isa);
    return for_each_piece(exec, x.size(), [&](std::int64_t at, std::int64_t n) {
      alignas(64) float d[kPiece], at_x[kPiece];
      kernels.widen(d, halves(dy) + at, n);
      kernels.widen(at_x, halves(x) + at, n);
      if (again) {
        ops.gelu_and_backward(at_x, d, d, at_x, n);
        kernels.round(halves(y) + at, at_x, n);
      } else {
        ops.gelu_backward(d, d, at_x, n);
      }
      kernels.round(halves(dx) + at, d, n);
    });
  }
  float* out = dx.data<float>();
  float* out_again = again ? y.data<float>() : nullptr;
  const float* upstream = dy.data<float>();
  const float* in = x.data<float>();
  for_each_chunk(exec.threads, x.size(), kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    const std::int64_t n = end - begin;
    if (!again) return ops.gelu_backward(out + begin, upstream + begin, in + begin, n);
    ops.gelu_and_backward(out_again + begin, out + begin, upstream + begin, in + begin, n);
  });
}

}  // namespace mixspan
