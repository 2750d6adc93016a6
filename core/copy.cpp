#include "core/copy.h"

#include <cstring>

#include "core/trace.h"

namespace mixspan {

namespace {

// A view as rows of `bytes` bytes, `pitch` apart.
struct Rows {
  std::size_t count, bytes, pitch;
};

Rows rows_of(const ConstView& v) {
  const std::size_t width = size_of(v.dtype());
  if (v.is_contiguous()) return {1, v.size_bytes(), v.size_bytes()};
  const int last = v.shape().rank() - 1;
  // Outer dims must lie as if contiguous, over rows of the pitch of the last dim but one.
  std::int64_t rows = 1;
  const std::int64_t pitch = v.stride(last - 1);
  for (int d = last - 1; d >= 0; --d) {
    check(v.dim(d) == 1 || v.stride(d) == pitch * rows,
          "copy: a view of shape {} is not rows of one pitch", v.shape().str());
    rows *= v.dim(d);
  }
  return {static_cast<std::size_t>(rows), static_cast<std::size_t>(v.dim(last)) * width,
          static_cast<std::size_t>(pitch) * width};
}

}  // namespace

void copy(const Exec& ex, View to, ConstView from) {
  const TraceRange range(ex.tracer, "copy");
  check_shape("copy: from", from, to.shape());
  check_dtype("copy: from", from, to.dtype());
  if (to.size() == 0) return;
  Rows t = rows_of(to), f = rows_of(from);
  if (t.count != f.count) {  // one is contiguous: cut it into the other's rows
    Rows& whole = t.count == 1 ? t : f;
    const Rows& cut = t.count == 1 ? f : t;
    whole = {cut.count, cut.bytes, cut.bytes};
  }
  if (ex.device.is_cuda()) {
    if (t.count == 1) return copy_bytes(ex.stream, to.raw(), from.raw(), t.bytes);
    return copy_rows(ex.stream, to.raw(), t.pitch, from.raw(), f.pitch, t.bytes, t.count);
  }
  for (std::size_t r = 0; r < t.count; ++r) {
    std::memcpy(static_cast<std::byte*>(to.raw()) + r * t.pitch,
                static_cast<const std::byte*>(from.raw()) + r * f.pitch, t.bytes);
  }
}

void fill_zero(const Exec& ex, View view) {
  const TraceRange range(ex.tracer, "zero");
  if (!ex.device.is_cuda()) return fill_zero(view);
  check_contiguous("fill_zero", view);
  fill_bytes(ex.stream, view.raw(), 0, view.size_bytes());
}

}  // namespace mixspan
