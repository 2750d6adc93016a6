// All that a training step gives to the device lies inside a part of its profile.
#include <set>

#include "core/trace.h"
#include "experiments/run/step_profile.h"
#include "tests/cuda/training.h"
#include "tests/emulation/profiler_ranges.h"

namespace mixspan::test {
namespace {

class ProfileOnDevice : public DeviceTest {
 protected:
  void TearDown() override {
    emulation::work_listener() = {};
    DeviceTest::TearDown();
  }

  /// Kernels, copies and fillings of one step that lie in no part, and of those that do the parts.
  void expect_all_named(RunConfig config, Precision precision) {
    Tracer tracer;
    Exec ex = exec();
    ex.tracer = &tracer;
    ex.precision = precision;
    ex.scratch.poison(false);  // which fills what it hands out
    config.train.precision = precision == Precision::bf16 ? "bf16" : "fp32";
    SmallRun run(ex, config);
    tracer.follow(device(), ex.stream);
    std::set<std::string> unnamed;
    std::set<Part> parts;
    std::set<std::string> layers;
    emulation::work_listener() = [&](const char* what) {
      Part part = Part::other;
      std::string way;
      for (const std::string& name : emulation::profiler_ranges()) {
        way += "/" + name;
        if (name.starts_with("layer ") && name != "layer norm") layers.insert(name);
        if (part_of(name) != Part::other) part = part_of(name);
      }
      if (part == Part::other) unnamed.insert(std::string(what) + " in " + way);
      parts.insert(part);
    };
    run.trainer->step(0);
    emulation::work_listener() = {};
    EXPECT_EQ(unnamed, std::set<std::string>{});
    EXPECT_EQ(parts, (std::set<Part>{Part::gemm, Part::full_attention, Part::short_attention,
                                     Part::elementwise, Part::loss, Part::optimizer}));
    EXPECT_EQ(layers, (std::set<std::string>{"layer 0", "layer 1"}));
    EXPECT_TRUE(emulation::profiler_ranges().empty());
  }
};

TEST_F(ProfileOnDevice, NamesAllThatAStepGivesToTheDevice) {
  expect_all_named(small_run(), Precision::fp32);
}

TEST_F(ProfileOnDevice, NamesAllThatAStepInBf16GivesToTheDeviceSlow) {
  for (const char* policy : {"none", "selective", "products", "full"}) {
    SCOPED_TRACE(policy);
    RunConfig c = small_run();
    c.model.recompute = policy;
    expect_all_named(c, Precision::bf16);
  }
}

TEST_F(ProfileOnDevice, ATableOfADeviceIsOfTheStep) {
  Tracer tracer;
  tracer.follow(device(), exec().stream);
  Exec ex = exec();
  ex.tracer = &tracer;
  SmallRun run(ex, small_run());
  for (std::int64_t s = 0; s <= StepProfile::kWarmup; ++s) run.trainer->step(s);
  const StepProfile p = profile_of(tracer, run.trainer->plan(), {}, {}, "emulated");
  EXPECT_EQ(p.steps, 1);
  EXPECT_GE(p.other_s(), 0);
  for (const StepProfile::Row& row : p.rows) {
    EXPECT_EQ(row.seconds > 0, row.part != Part::communication) << title(row.part);
  }
  EXPECT_GT(p.layers[1].attention_s, 0);
}

}  // namespace
}  // namespace mixspan::test
