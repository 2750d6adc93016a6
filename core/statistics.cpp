#include "core/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// The t that 2.5 % of repetitions exceed.
double t_quantile(std::int64_t degrees) {
  return boost::math::quantile(boost::math::students_t(static_cast<double>(degrees)), 0.975);
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Sum of (a - mean a) (b - mean b).
double cross_sum(std::span<const double> a, std::span<const double> b) {
  const double mean_a = mean_of(a), mean_b = mean_of(b);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  return sum;
}

Estimate around(double value, double half, std::int64_t n) {
  return {value, value - half, value + half, n};
}

/// What least squares leaves: the line, and the standard deviation of what it does not explain.
struct Fit {
  double slope, intercept, mean_x, sum_xx;
  double deviation;  ///< NaN where nothing is left to tell it from
  double t;          ///< of n - 2 degrees of freedom; NaN likewise
  std::int64_t n;
};

Fit least_squares(std::span<const double> x, std::span<const double> y) {
  check(x.size() == y.size() && x.size() >= 2, "fit_line: {} x and {} y, wanted 2 or more of each",
        x.size(), y.size());
  Fit f{};
  f.n = static_cast<std::int64_t>(x.size());
  f.mean_x = mean_of(x);
  f.sum_xx = cross_sum(x, x);
  check(f.sum_xx > 0, "fit_line: all x are {}, wanted two different ones", x[0]);
  f.slope = cross_sum(x, y) / f.sum_xx;
  f.intercept = mean_of(y) - f.slope * f.mean_x;
  std::vector<double> places(x.begin(), x.end());
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  if (places.size() < 3) {  // a line fits two places whatever its true shape
    f.deviation = f.t = kNone;
    return f;
  }
  double rest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double off = y[i] - (f.intercept + f.slope * x[i]);
    rest += off * off;
  }
  f.deviation = std::sqrt(rest / static_cast<double>(f.n - 2));
  f.t = t_quantile(f.n - 2);
  return f;
}

}  // namespace

Estimate mean_estimate(std::span<const double> values) {
  check(!values.empty(), "mean_estimate: no values");
  const auto n = static_cast<std::int64_t>(values.size());
  const double mean = mean_of(values);
  if (n < 2) return around(mean, kNone, n);
  const double variance = cross_sum(values, values) / static_cast<double>(n - 1);
  return around(mean, t_quantile(n - 1) * std::sqrt(variance / static_cast<double>(n)), n);
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return kNone;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

PairedTest paired_test(std::span<const double> a, std::span<const double> b) {
  check(a.size() == b.size() && !a.empty(), "paired_test: {} and {} values, wanted as many pairs",
        a.size(), b.size());
  std::vector<double> differences(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  PairedTest test{mean_estimate(differences), kNone};
  const auto n = static_cast<double>(a.size());
  if (n < 2) return test;
  const double error = std::sqrt(cross_sum(differences, differences) / (n - 1) / n);
  if (error == 0) {  // nothing varies: only no difference at all is no evidence
    test.p = test.difference.value == 0 ? 1 : 0;
    return test;
  }
  const double t = std::abs(test.difference.value) / error;
  test.p = std::isfinite(t)
               ? 2 * boost::math::cdf(boost::math::complement(boost::math::students_t(n - 1), t))
               : kNone;
  return test;
}

void adjust_for_many(std::span<double> p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!std::isnan(p[i])) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  double largest = 0;
  for (std::size_t k = 0; k < order.size(); ++k) {
    largest = std::max(largest, static_cast<double>(order.size() - k) * p[order[k]]);
    p[order[k]] = std::min(1.0, largest);
  }
}

Line fit_line(std::span<const double> x, std::span<const double> y) {
  const Fit f = least_squares(x, y);
  const auto n = static_cast<double>(f.n);
  const double half_slope = f.t * f.deviation / std::sqrt(f.sum_xx);
  const double half_intercept =
      f.t * f.deviation * std::sqrt(1 / n + f.mean_x * f.mean_x / f.sum_xx);
  return {around(f.slope, half_slope, f.n), around(f.intercept, half_intercept, f.n)};
}

}  // namespace mixspan
