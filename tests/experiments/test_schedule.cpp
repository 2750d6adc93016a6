#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "experiments/run/schedule.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

ScheduleConfig config(ScheduleKind kind) {
  return {.kind = kind, .peak_lr = 2e-3, .steps = 110, .warmup_steps = 10, .final_fraction = 0.1};
}

TEST(Schedule, WarmsUpInEqualStepsFromTheFirst) {
  for (ScheduleKind kind : {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::constant}) {
    EXPECT_DOUBLE_EQ(lr_at(config(kind), 1), 2e-4);
    EXPECT_DOUBLE_EQ(lr_at(config(kind), 5), 1e-3);
    EXPECT_DOUBLE_EQ(lr_at(config(kind), 10), 2e-3);
  }
}

TEST(Schedule, DecaysAsItsFormulaSays) {
  EXPECT_DOUBLE_EQ(lr_at(config(ScheduleKind::linear), 60), 2e-3 * 0.55);
  EXPECT_DOUBLE_EQ(lr_at(config(ScheduleKind::linear), 110), 2e-4);
  EXPECT_DOUBLE_EQ(lr_at(config(ScheduleKind::cosine), 60), 2e-3 * 0.55);
  // A third of the way: cos(pi/3) = 1/2.
  ScheduleConfig third = config(ScheduleKind::cosine);
  third.steps = 13;
  EXPECT_DOUBLE_EQ(lr_at(third, 11), 2e-3 * (0.1 + 0.9 * 0.75));
  EXPECT_DOUBLE_EQ(lr_at(config(ScheduleKind::cosine), 110), 2e-4);
  EXPECT_DOUBLE_EQ(lr_at(config(ScheduleKind::constant), 110), 2e-3);
}

TEST(Schedule, StaysAtItsEndAfterTheLastStep) {
  for (ScheduleKind kind : {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::constant}) {
    EXPECT_EQ(lr_at(config(kind), 500), lr_at(config(kind), 110));
  }
}

TEST(Schedule, NeverRisesAfterTheWarmUp) {
  for (ScheduleKind kind : {ScheduleKind::cosine, ScheduleKind::linear}) {
    for (std::int64_t s = 11; s <= 110; ++s) {
      EXPECT_LT(lr_at(config(kind), s), lr_at(config(kind), s - 1)) << name_of(kind) << s;
    }
  }
}

TEST(Schedule, WorksWithoutWarmUpAndWithNothingElse) {
  ScheduleConfig none = config(ScheduleKind::linear);
  none.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(lr_at(none, 55), 2e-3 * 0.55);
  ScheduleConfig only = config(ScheduleKind::cosine);
  only.warmup_steps = only.steps;
  EXPECT_DOUBLE_EQ(lr_at(only, 110), 2e-3);
  EXPECT_DOUBLE_EQ(lr_at(only, 111), 2e-4);
}

TEST(Schedule, RefusesWhatHasNoMeaning) {
  const ScheduleConfig good = config(ScheduleKind::cosine);
  check_schedule(good);
  ScheduleConfig bad = good;
  bad.warmup_steps = 111;
  EXPECT_EQ(test::refusal([&] { check_schedule(bad); }),
            "111 warm-up steps: wanted 0 to 110, the steps of the run");
  for (double lr : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    bad = good;
    bad.peak_lr = lr;
    EXPECT_THROW(check_schedule(bad), InputError) << lr;
  }
  for (double fraction : {-0.1, 1.1, std::nan("")}) {
    bad = good;
    bad.final_fraction = fraction;
    EXPECT_THROW(check_schedule(bad), InputError) << fraction;
  }
  EXPECT_EQ(schedule_kind("linear"), ScheduleKind::linear);
  EXPECT_EQ(test::refusal([] { schedule_kind("cosin"); }),
            "schedule 'cosin' is not known; there are cosine, linear and constant");
}

}  // namespace
}  // namespace mixspan
