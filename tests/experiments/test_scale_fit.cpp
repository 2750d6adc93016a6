// What a scaling study makes of its runs: growth with the length, and what was not run.
#include <gtest/gtest.h>

#include <cmath>

#include "experiments/run/metrics.h"
#include "experiments/sweep/scale_fit.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

ScalePoint point(const std::string& variant, std::int64_t context, double plan_ms,
                 double measured_ms = 0) {
  ScalePoint p;
  p.variant = variant;
  p.run.config.model.context = context;
  p.run.config.train.batch_tokens = 8192;
  p.plan.step_ms = plan_ms;
  if (measured_ms > 0) {
    p.measured.emplace();
    p.measured->step_ms = measured_ms;
    p.measured->memory_bytes = 1000 * context;
  }
  return p;
}

TEST(ScaleFit, FindsTheExponentOfAPowerLaw) {
  std::vector<ScalePoint> points;
  for (const std::int64_t T : {512, 1024, 2048, 4096}) {
    // A step has 8192 / T sequences, each of T^1.5 microseconds.
    points.push_back(point(
        "a", T, 1, 8192.0 / static_cast<double>(T) * std::pow(static_cast<double>(T), 1.5) * 1e-3));
  }
  points.push_back(point("a", 8192, 1));    // not run
  points.push_back(point("b", 512, 1, 3));  // one length has no exponent
  const std::vector<GrowthFit> fits = fit_growth(points);
  ASSERT_EQ(fits.size(), 2u);
  EXPECT_EQ(fits[0].variant, "a");
  EXPECT_EQ(fits[0].quantity, "seconds per sequence");
  EXPECT_NEAR(fits[0].exponent.value, 1.5, 1e-12);
  EXPECT_EQ(fits[0].exponent.n, 4);
  EXPECT_NEAR(fits[0].exponent.low, 1.5, 1e-6);
  EXPECT_EQ(fits[1].quantity, "memory bytes");
  EXPECT_NEAR(fits[1].exponent.value, 1, 1e-12);
}

TEST(ScaleFit, AnIntervalCoversTheScatter) {
  std::vector<ScalePoint> points;
  double sign = 1;
  for (const std::int64_t T : {512, 1024, 2048, 4096, 8192}) {
    points.push_back(point("a", T, 1, 10 * (1 + 0.1 * sign)));  // a step of 8192 tokens: exponent 1
    sign = -sign;
  }
  const GrowthFit fit = fit_growth(points).at(0);
  EXPECT_LT(fit.exponent.low, 1);
  EXPECT_GT(fit.exponent.high, 1);
}

TEST(ScaleFit, TwoLengthsHaveAnExponentAndNoInterval) {
  const std::vector<GrowthFit> fits = fit_growth({point("a", 512, 1, 10), point("a", 1024, 1, 20)});
  EXPECT_NEAR(fits.at(0).exponent.value, 2, 1e-12);
  EXPECT_TRUE(std::isnan(fits[0].exponent.low));
}

TEST(ScaleFit, ExtrapolatesByThePlanCorrectedByItsRuns) {
  const std::vector<ScalePoint> points{point("a", 512, 10, 20), point("a", 1024, 40, 80),
                                       point("b", 512, 10, 50)};
  const Extrapolation a = extrapolate(point("a", 4096, 600), points);
  EXPECT_TRUE(a.of_variant);
  EXPECT_NEAR(a.step_ms.value, 1200, 1e-9);  // always twice the plan
  EXPECT_NEAR(a.step_ms.low, 1200, 1e-6);
  const Extrapolation b = extrapolate(point("b", 4096, 600), points);
  EXPECT_NEAR(b.step_ms.value, 3000, 1e-9);
  EXPECT_TRUE(std::isnan(b.step_ms.low));  // one comparison
  const Extrapolation c = extrapolate(point("c", 4096, 600), points);
  EXPECT_FALSE(c.of_variant);
  EXPECT_NEAR(c.step_ms.value, 600 * std::cbrt(2.0 * 2 * 5), 1e-9);
  EXPECT_LT(c.step_ms.low, c.step_ms.value);
  EXPECT_GT(c.step_ms.high, c.step_ms.value);
  EXPECT_THROW(extrapolate(point("a", 4096, 600), {}), Error);
}

TEST(ScaleFit, ExtrapolatesTheMemoryOfAProcessAlongThatOfItsRanks) {
  std::vector<ScalePoint> points{point("a", 512, 10, 20), point("a", 1024, 10, 20),
                                 point("b", 512, 10, 20)};
  const auto set = [](ScalePoint& p, std::int64_t planned, std::int64_t measured) {
    p.plan.memory_bytes = planned;
    if (p.measured) p.measured->memory_bytes = measured;
  };
  set(points[0], 1000, 90000 + 2 * 1000);  // two ranks and the program
  set(points[1], 2000, 90000 + 2 * 2000);
  set(points[2], 1000, 95000);
  ScalePoint a = point("a", 4096, 10), b = point("b", 4096, 10);
  set(a, 8000, 0);
  set(b, 8000, 0);
  EXPECT_NEAR(extrapolate(a, points).memory_bytes, 90000 + 2 * 8000, 1e-6);
  EXPECT_NEAR(extrapolate(b, points).memory_bytes, 95000 + 7000, 1e-6);
}

class MeasureOf : public ::testing::Test {
 protected:
  void write(const std::string& result, const std::vector<double>& step_ms) const {
    std::string lines;
    TrainMetrics m;
    for (const double ms : step_ms) {
      ++m.step;
      m.tokens = 100 * m.step;
      m.step_ms = ms;
      m.memory_bytes = 7 * m.step;
      m.comm_bytes.cp = 64;
      lines += to_json(m) + "\n";
    }
    test::write_file(folder / "metrics.jsonl", lines);
    test::write_file(folder / "result.json", result);
  }
  const test::ScratchFolder folder{test::memory_folder()};
};

TEST_F(MeasureOf, TakesTheMedianAfterTheWarmUp) {
  write("{}", {900, 500, 10, 30, 20});
  const Measured m = measure_of(folder.path(), 2).value();
  EXPECT_EQ(m.steps, 3);
  EXPECT_DOUBLE_EQ(m.step_ms, 20);
  EXPECT_DOUBLE_EQ(m.fastest_ms, 10);
  EXPECT_DOUBLE_EQ(m.slowest_ms, 30);
  EXPECT_DOUBLE_EQ(m.tokens_per_s, 5000);
  EXPECT_EQ(m.memory_bytes, 35);
  EXPECT_EQ(m.comm_bytes.cp, 64);
  EXPECT_FALSE(m.mfu);
  EXPECT_FALSE(m.parts);
  EXPECT_DOUBLE_EQ(measure_of(folder.path(), 1)->step_ms, 25);
}

TEST_F(MeasureOf, DividesTheTimeOfAStep) {
  write(R"({"time": {"steps": 3, "step": 1.0, "matmul": 0.5, "attention full": 0.125,
            "attention sliding:64": 0.0625, "attention block:32": 0.0625, "wait cp halo": 0.03125,
            "wait tp sum layer 2": 0.03125, "forward": 0.4, "cp halo": 0.3}})",
        {1, 1, 1});
  const StepParts parts = measure_of(folder.path(), 0)->parts.value();
  EXPECT_EQ(parts.matmul, 0.5);
  EXPECT_EQ(parts.full_attention, 0.125);
  EXPECT_EQ(parts.short_attention, 0.125);
  EXPECT_EQ(parts.communication, 0.0625);
  EXPECT_EQ(parts.rest, 0.1875);
}

TEST_F(MeasureOf, KnowsNothingOfARunThatIsNotFinished) {
  EXPECT_FALSE(measure_of(folder.path(), 0));
}

TEST_F(MeasureOf, RefusesWhatIsNoMeasurement) {
  write("{}", {1, 2});
  EXPECT_NE(test::refusal([&] { measure_of(folder.path(), 2); }).find("no step after the 2"),
            std::string::npos);
  write("half of it {", {1, 2});
  EXPECT_NE(test::refusal([&] { measure_of(folder.path(), 0); }).find("result.json"),
            std::string::npos);
}

class Variants : public ::testing::Test {
 protected:
  void add(std::int64_t context, std::vector<Setting> settings) {
    points.emplace_back();
    points.back().run.config.model.context = context;
    points.back().run.settings = std::move(settings);
  }
  std::vector<std::string> names() {
    std::vector<ScalePoint*> all;
    for (ScalePoint& p : points) all.push_back(&p);
    name_variants(all);
    std::vector<std::string> names;
    for (const ScalePoint& p : points) names.push_back(p.variant);
    return names;
  }
  std::vector<ScalePoint> points;
};

TEST_F(Variants, AreNamedInTheConfigsOrderWhateverThatOfTheStudy) {
  add(512, {{"model.context", "512"}, {"model.span", "\"full\""}, {"parallel.cp", "2"}});
  add(1024, {{"parallel.cp", "2"}, {"model.span", "\"full\""}, {"model.context", "1024"}});
  EXPECT_EQ(names(), std::vector<std::string>(2, "model.span=\"full\", parallel.cp=2"));
}

TEST_F(Variants, LeaveOutWhatFollowsFromTheContext) {
  add(512, {{"model.context", "512"}, {"train.batch_tokens", "1024"}});
  add(1024, {{"model.context", "1024"}, {"train.batch_tokens", "2048"}});
  EXPECT_EQ(names(), std::vector<std::string>(2, "base"));
  add(1024, {{"model.context", "1024"}, {"train.batch_tokens", "4096"}});
  EXPECT_EQ(names(), (std::vector<std::string>{"train.batch_tokens=1024", "train.batch_tokens=2048",
                                               "train.batch_tokens=4096"}));
}

}  // namespace
}  // namespace mixspan
