#include "kernels/copy_rows.h"

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/copy_rows.h"

namespace mixspan {

namespace {

void check_rows(const ConstView& to, const ConstView& from) {
  check(to.shape().rank() == 4, "rows: wanted (B, n, N, H), got {}", to.shape().str());
  check_shape("rows", from, to.shape());
  check_dtype("rows", from, to.dtype());
  check(to.stride(2) == to.dim(3) && from.stride(2) == from.dim(3), "heads of a row lie apart");
}

// Calls body(to, from, floats) for each row.
template <class Body>
void for_each_row(const Exec& ex, const View& to, const ConstView& from, Body&& body) {
  const std::int64_t n = to.dim(1), floats = to.dim(2) * to.dim(3);
  const std::int64_t rows = to.dim(0) * n;
  for_each_chunk(ex.threads, rows, rows_per_chunk(floats), [&](auto begin, auto end, auto) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t b = row / n, t = row % n;
      body(to.data<float>() + b * to.stride(0) + t * to.stride(1),
           from.data<float>() + b * from.stride(0) + t * from.stride(1), floats);
    }
  });
}

}  // namespace

void copy_rows(const Exec& ex, View to, ConstView from) {
  const TraceRange range(ex.tracer, "rows");
  check_rows(to, from);
  if (ex.device.is_cuda()) return cuda::copy_rows(ex, to, from);
  for_each_row(ex, to, from,
               [](float* y, const float* x, std::int64_t n) { std::copy_n(x, n, y); });
}

void clear_rows(const Exec& ex, View to) {
  const TraceRange range(ex.tracer, "rows");
  check_rows(to, to);
  if (ex.device.is_cuda()) return cuda::clear_rows(ex, to);
  for_each_row(ex, to, to, [](float* y, const float*, std::int64_t n) { std::fill_n(y, n, 0.0f); });
}

void add_rows(const Exec& ex, View to, ConstView from) {
  const TraceRange range(ex.tracer, "rows");
  check_rows(to, from);
  if (ex.device.is_cuda()) return cuda::add_rows(ex, to, from);
  for_each_row(ex, to, from, [](float* y, const float* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] += x[i];
  });
}

}  // namespace mixspan
