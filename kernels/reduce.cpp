#include "kernels/reduce.h"

#include <cmath>
#include <numeric>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/reduce.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

// Sum over chunks of piece(begin, length), in the order of the chunks.
template <class Piece>
double sum_of_pieces(const Exec& exec, const ConstView& x, Piece piece) {
  const Arena::Scope scope = exec.scratch.scope();
  const std::int64_t pieces = chunk_count(x.size(), kChunk);
  const View partial = exec.scratch.allocate("reduction", {pieces}, DType::f64);
  double* sums = partial.data<double>();
  const float* data = x.data<float>();
  for_each_chunk(exec.threads, x.size(), kChunk,
                 [&](std::int64_t begin, std::int64_t end, std::int64_t chunk) {
                   sums[chunk] = piece(data + begin, end - begin);
                 });
  return std::accumulate(sums, sums + pieces, 0.0);
}

}  // namespace

double sum_of_squares(const Exec& exec, ConstView x) {
  const TraceRange range(exec.tracer, "sum of squares");
  check_contiguous("sum_of_squares", x);
  if (exec.device.is_cuda()) return cuda::sum_of_squares(exec, x);
  if (exec.oracle) return oracle::sum_of_squares(x);
  return sum_of_pieces(exec, x, simd::row_ops(exec.isa).sum_of_squares);
}

double sum(const Exec& exec, ConstView x) {
  const TraceRange range(exec.tracer, "sum");
  check_contiguous("sum", x);
  if (exec.device.is_cuda()) return cuda::sum(exec, x);
  if (exec.oracle) return oracle::sum(x);
  return sum_of_pieces(exec, x, simd::row_ops(exec.isa).sum);
}

std::int64_t first_nonfinite(const Exec& exec, ConstView x) {
  check_contiguous("first_nonfinite", x);
  if (exec.device.is_cuda()) return cuda::first_nonfinite(exec, x);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  const double bad_chunks = sum_of_pieces(exec, x, [&](const float* piece, std::int64_t n) {
    return ops.all_finite(piece, n) ? 0.0 : 1.0;
  });
  if (bad_chunks == 0) return -1;
  const float* data = x.data<float>();
  return std::find_if(data, data + x.size(), [](float v) { return !std::isfinite(v); }) - data;
}

void add_into(const Exec& exec, View y, ConstView x) {
  const TraceRange range(exec.tracer, "add");
  check_shape("add_into: y", y, x.shape());
  check_contiguous("add_into: y", y);
  check_contiguous("add_into: x", x);
  if (exec.device.is_cuda()) return cuda::add_into(exec, y, x);
  if (exec.oracle) return oracle::add_into(y, x);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, x.size(), kChunk, [&](std::int64_t begin, std::int64_t end, auto) {
    ops.add(y.data<float>() + begin, x.data<float>() + begin, end - begin);
  });
}

}  // namespace mixspan
