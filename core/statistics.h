// Means, differences and slopes with their 95 % intervals. Student's t throughout: samples are
// small, a few seeds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mixspan {

/// An estimate and the interval that covers the truth in 95 of 100 repetitions. With too few values
/// for an interval (one value; a line through two different x) low and high are NaN.
struct Estimate {
  double value = 0, low = 0, high = 0;
  std::int64_t n = 0;  ///< values it was made from
};

/// Mean of independent values, with t of n - 1 degrees of freedom. n >= 1.
Estimate mean_estimate(std::span<const double> values);

/// Of those that are not NaN; NaN where there are none.
double median(std::vector<double> values);

struct PairedTest {
  Estimate difference;  ///< mean of b - a
  double p = 0;         ///< two-sided, of a difference this far from 0 or farther; NaN where n < 2
};
/// Paired t test: a[i] and b[i] share what is not compared (the seed).
PairedTest paired_test(std::span<const double> a, std::span<const double> b);

/// Holm's step-down (Scand. J. Statist. 6, 1979): p values, adjusted for being many, in place.
/// NaN stays NaN and does not count.
void adjust_for_many(std::span<double> p);

struct Line {
  Estimate slope, intercept;
};
/// Least squares y = intercept + slope x, errors independent and of one size; t of n - 2 degrees of
/// freedom. n >= 2, x not all the same; with two different x, however often, there is no interval,
/// as nothing tells whether it is a line. With log x and log y, slope is the exponent of growth.
Line fit_line(std::span<const double> x, std::span<const double> y);

}  // namespace mixspan
