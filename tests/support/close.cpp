#include "tests/support/close.h"

#include <cmath>
#include <cstring>
#include <functional>

namespace mixspan::test {

namespace {

double element(const ConstView& v, std::int64_t offset) {
  if (v.dtype() == DType::f64) return v.data<double>()[offset];
  if (v.dtype() == DType::bf16) return static_cast<float>(v.data<bf16>()[offset]);
  return v.data<float>()[offset];
}

// Calls body(index, offset in a, offset in b) for each element in row-major order.
void for_each_pair(const ConstView& a, const ConstView& b,
                   const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& body) {
  check_shape("compared tensors", a, b.shape());
  const int rank = a.shape().rank();
  for (std::int64_t i = 0; i < a.size(); ++i) {
    std::int64_t rest = i, offset_a = 0, offset_b = 0;
    for (int d = rank - 1; d >= 0; --d) {
      const std::int64_t at = rest % a.dim(d);
      rest /= a.dim(d);
      offset_a += at * a.stride(d);
      offset_b += at * b.stride(d);
    }
    body(i, offset_a, offset_b);
  }
}

std::string index_name(const Shape& shape, std::int64_t i) {
  std::string s;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    s = std::to_string(i % shape[d]) + (s.empty() ? "" : ", ") + s;
    i /= shape[d];
  }
  return "[" + s + "]";
}

}  // namespace

Distance distance(const ConstView& got, const ConstView& want) {
  Distance result;
  double sum_difference = 0, sum_want = 0, max_difference = 0, max_want = 0;
  for_each_pair(got, want, [&](std::int64_t i, std::int64_t a, std::int64_t b) {
    const double g = element(got, a), w = element(want, b), d = std::abs(g - w);
    if (!std::isfinite(g) && result.finite) {
      result.finite = false;
      result.worst = index_name(got.shape(), i) + fmt::format(" is {}, wanted {}", g, w);
    }
    sum_difference += d * d;
    sum_want += w * w;
    max_want = std::max(max_want, std::abs(w));
    if (d > max_difference && result.finite) {
      max_difference = d;
      result.worst = index_name(got.shape(), i) + fmt::format(" is {:.9g}, wanted {:.9g}", g, w);
    }
  });
  const double tiny = 1e-30;
  result.l2 = std::sqrt(sum_difference / std::max(sum_want, tiny));
  result.max = max_difference / std::max(max_want, tiny);
  return result;
}

std::string differs(const ConstView& got, const ConstView& want, Tolerance tolerance) {
  const Distance d = distance(got, want);
  if (d.finite && d.l2 <= tolerance.l2 && d.max <= tolerance.max) return "";
  return fmt::format(
      "relative L2 {:.3g} (allowed {:.3g}), max {:.3g} (allowed {:.3g}); worst at {}", d.l2,
      tolerance.l2, d.max, tolerance.max, d.worst);
}

std::string worse_than_twice(const ConstView& got, const ConstView& plain, const ConstView& want,
                             Tolerance tolerance) {
  const auto error_of = [&](const ConstView& x) {
    double largest = 0;
    for_each_pair(x, want, [&](std::int64_t, std::int64_t a, std::int64_t b) {
      largest = std::max(largest, std::abs(element(x, a) - element(want, b)));
    });
    return largest;
  };
  double size = 0;
  for_each_pair(want, want, [&](std::int64_t, std::int64_t a, std::int64_t) {
    size = std::max(size, std::abs(element(want, a)));
  });
  const double error = error_of(got), allowed = 2 * error_of(plain) + 4e-6 * std::max(size, 1.0);
  std::string found;
  if (!(error <= allowed)) found = fmt::format("error {:.3g} (allowed {:.3g}); ", error, allowed);
  if (size > 1e-6) found += differs(got, want, tolerance);
  return found;
}

namespace {

// Largest error and number, and sum of squares of errors and numbers, of one region.
struct Errors {
  double error = 0, size = 0, error_squares = 0, squares = 0;
  bool finite = true;
  Errors(const ConstView& got, const ConstView& want) {
    for_each_pair(got, want, [&](std::int64_t, std::int64_t a, std::int64_t b) {
      const double w = element(want, b), d = std::abs(element(got, a) - w);
      finite &= std::isfinite(d);
      error = std::max(error, d);
      size = std::max(size, std::abs(w));
      error_squares += d * d;
      squares += w * w;
    });
  }
};

}  // namespace

std::string worse_than_baseline(const ConstView& got, const ConstView& baseline,
                                const ConstView& want) {
  constexpr std::int64_t kRows = 16;
  constexpr double kRounding = 1.0 / 256, kNothing = 2e-4;  // of bf16; what is 0 by cancellation
  const Errors all(got, want), plain(baseline, want);
  if (!all.finite) return "not finite: " + distance(got, want).worst;
  const double l2 = std::sqrt(all.error_squares);
  const double allowed_l2 = 1e-2 * std::sqrt(all.squares) + 2 * std::sqrt(plain.error_squares) +
                            kNothing * std::sqrt(static_cast<double>(got.size()));
  std::string found;
  if (!(l2 <= allowed_l2))
    found = fmt::format("L2 error {:.3g} (allowed {:.3g}); ", l2, allowed_l2);
  for (std::int64_t b = 0; b < got.dim(0); ++b) {
    for (std::int64_t n = 0; n < got.dim(2); ++n) {
      for (std::int64_t r = 0; r < got.dim(1) && found.empty(); r += kRows) {
        const auto region = [&](const ConstView& x) {
          return x.slice(0, b, b + 1).slice(1, r, std::min(r + kRows, x.dim(1))).slice(2, n, n + 1);
        };
        const Errors e(region(got), region(want)), p(region(baseline), region(want));
        const double allowed = 2 * p.error + 2 * kRounding * e.size + kNothing;
        if (e.error <= allowed) continue;
        found =
            fmt::format("rows from {} of sequence {}, head {}: error {:.3g} (allowed {:.3g}) at {}",
                        r, b, n, e.error, allowed, distance(region(got), region(want)).worst);
      }
    }
  }
  return found;
}

std::string bits_differ(const ConstView& got, const ConstView& want) {
  check_dtype("compared tensors", got, want.dtype());
  std::string first;
  const std::size_t width = size_of(got.dtype());
  for_each_pair(got, want, [&](std::int64_t i, std::int64_t a, std::int64_t b) {
    const auto* g = static_cast<const std::byte*>(got.raw()) + static_cast<std::size_t>(a) * width;
    const auto* w = static_cast<const std::byte*>(want.raw()) + static_cast<std::size_t>(b) * width;
    if (first.empty() && std::memcmp(g, w, width) != 0) {
      first = fmt::format("first difference at {}: {:.9g} and {:.9g}", index_name(got.shape(), i),
                          element(got, a), element(want, b));
    }
  });
  return first;
}

}  // namespace mixspan::test
