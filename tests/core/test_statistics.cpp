// Against SciPy 1.17.1 and statsmodels 0.15.0 (Python 3.11) on fixed samples: stats.t.interval,
// stats.ttest_rel, multipletests(method="holm"), OLS.conf_int and get_prediction().summary_frame.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/statistics.h"

namespace mixspan {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
// Both sides compute in fp64, sums of a few terms; t comes from different series.
constexpr double kClose = 1e-11;

void expect(const Estimate& got, double value, double low, double high, std::int64_t n) {
  EXPECT_NEAR(got.value, value, kClose);
  EXPECT_NEAR(got.low, low, kClose);
  EXPECT_NEAR(got.high, high, kClose);
  EXPECT_EQ(got.n, n);
}

const std::vector<double> kA{2.91, 2.87, 2.95, 2.90, 2.88};
const std::vector<double> kB{2.97, 2.90, 2.99, 2.98, 2.91};

TEST(Statistics, MeanAndInterval) {
  expect(mean_estimate(kA), 2.902, 2.8633285945445177, 2.9406714054554826, 5);
  expect(mean_estimate(std::span(kA).first(2)), 2.89, 2.635875905276506, 3.144124094723494, 2);
}

TEST(Statistics, OneValueHasNoInterval) {
  const Estimate one = mean_estimate(std::span(kA).first(1));
  EXPECT_EQ(one.value, 2.91);
  EXPECT_TRUE(std::isnan(one.low) && std::isnan(one.high));
  EXPECT_EQ(one.n, 1);
  EXPECT_THROW(mean_estimate({}), Error);
}

TEST(Statistics, MedianPassesOverNaN) {
  EXPECT_EQ(median({3, kNone, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_TRUE(std::isnan(median({kNone})));
}

TEST(Statistics, PairedTest) {
  const PairedTest test = paired_test(kA, kB);
  expect(test.difference, 0.048, 0.021081365976621008, 0.07491863402337907, 5);
  EXPECT_NEAR(test.p, 0.007756658283739571, kClose);
  EXPECT_NEAR(paired_test(kB, kA).p, test.p, kClose);
  EXPECT_EQ(paired_test(kB, kA).difference.value, -test.difference.value);
}

TEST(Statistics, PairedTestOfWhatDoesNotVary) {
  EXPECT_TRUE(std::isnan(paired_test(std::span(kA).first(1), std::span(kB).first(1)).p));
  EXPECT_EQ(paired_test(kA, kA).p, 1);
  const std::vector<double> zeros{0, 0, 0}, ones{1, 1, 1};
  EXPECT_EQ(paired_test(zeros, ones).p, 0);
  EXPECT_THROW(paired_test(kA, zeros), Error);
}

TEST(Statistics, HolmAdjustsInOrderAndPassesOverNaN) {
  std::vector<double> p{0.01, 0.04, kNone, 0.03, 0.005, 0.5, 0.04};
  adjust_for_many(p);
  const std::vector<double> wanted{0.05, 0.12, kNone, 0.12, 0.03, 0.5, 0.12};
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (std::isnan(wanted[i])) {
      EXPECT_TRUE(std::isnan(p[i])) << i;
    } else {
      EXPECT_NEAR(p[i], wanted[i], kClose) << i;
    }
  }
  std::vector<double> large{0.6, 0.9};
  adjust_for_many(large);
  EXPECT_EQ(large, (std::vector<double>{1, 1}));
}

class Growth : public testing::Test {
 protected:
  Growth() {
    for (const double context : {512, 1024, 2048, 4096, 8192}) x.push_back(std::log(context));
    for (const double seconds : {0.9, 1.7, 3.9, 8.4, 19.0}) y.push_back(std::log(seconds));
  }
  std::vector<double> x, y;
};

TEST_F(Growth, LineAndItsIntervals) {
  const Line line = fit_line(x, y);
  expect(line.slope, 1.1104715795305682, 1.025068541441844, 1.1958746176192925, 5);
  expect(line.intercept, -7.095139694168053, -7.751664798113545, -6.438614590222562, 5);
}

TEST_F(Growth, TwoPointsGiveALineWithoutInterval) {
  const Line line = fit_line(std::span(x).first(2), std::span(y).first(2));
  EXPECT_NEAR(line.slope.value, std::log2(1.7 / 0.9), kClose);
  EXPECT_TRUE(std::isnan(line.slope.low) && std::isnan(line.intercept.high));
  const std::vector<double> twice_x{x[0], x[1], x[0], x[1]}, twice_y{y[0], y[1], y[2], y[3]};
  const Line twice = fit_line(twice_x, twice_y);
  EXPECT_TRUE(std::isfinite(twice.slope.value));
  EXPECT_TRUE(std::isnan(twice.slope.low) && std::isnan(twice.intercept.high));
  const std::vector<double> same{1, 1};
  EXPECT_THROW(fit_line(same, same), Error);
}

}  // namespace
}  // namespace mixspan
