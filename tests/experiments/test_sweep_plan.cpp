// What a sweep costs before it runs.
#include "experiments/sweep/sweep_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "experiments/cost/plan.h"
#include "tests/experiments/sweep_files.h"

namespace mixspan {
namespace {

using test::SweepFolder;

MachineFile two_cores() {
  return load_machine_file(MIXSPAN_SOURCE_DIR "/experiments/recipes/machines/cpu.toml");
}

TEST(SweepPlan, IsThePlanOfEachRun) {
  const std::vector<SweepRun> runs = SweepFolder().runs(
      "[grid]\nmodel.full_layers = [\"none\", \"bottom:2\", \"all\"]\ntrain.steps = [10, 30]\n"
      "parallel.tp = [1, 2]\n");
  const std::vector<PlannedRun> plans = plan_runs(runs, two_cores());
  ASSERT_EQ(plans.size(), 12u);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const RunConfig& c = runs[i].config;
    PlanRequest request{c.model, c.parallel, c.step_shape(), two_cores()};
    request.model.vocab = open_training(c.data, c.model.context, 0)->vocab_size();
    const RunPlan want = make_plan(request);
    EXPECT_EQ(plans[i].name, runs[i].name);
    EXPECT_EQ(plans[i].problem, "");
    EXPECT_EQ(plans[i].ranks, c.parallel.tp);
    EXPECT_EQ(plans[i].memory_bytes, want.memory.total());
    EXPECT_EQ(plans[i].step_flops, want.model_flops);
    EXPECT_EQ(plans[i].step_seconds, want.time.total());
    EXPECT_EQ(plans[i].seconds, want.time.total() * static_cast<double>(c.train.steps));
  }
  EXPECT_DOUBLE_EQ(plans[0].attention_share, 484.0 / 2080);
  EXPECT_DOUBLE_EQ(plans[11].attention_share, 1);
}

TEST(SweepPlan, RunsAtATimeDivideASharedMachine) {
  const std::vector<SweepRun> runs = SweepFolder().runs("[grid]\ntrain.seed = [1, 2]\n");
  const MachineFile machine = two_cores();
  ASSERT_TRUE(machine.shared);
  const double alone = plan_runs(runs, machine, 1)[0].step_seconds;
  EXPECT_NEAR(plan_runs(runs, machine, 2)[0].step_seconds, 2 * alone, 1e-9 * alone);
  MachineFile own = machine;
  own.shared = false;
  EXPECT_EQ(plan_runs(runs, own, 2)[0].step_seconds, plan_runs(runs, own, 1)[0].step_seconds);
}

TEST(SweepPlan, FlagsWhatCannotRunAndCountsNoTimeForIt) {
  const SweepFolder folder;
  std::vector<SweepRun> runs = folder.runs(
      "[[zip]]\nmodel.width = [64, 4096]\nmodel.heads = [4, 16]\n[grid]\ntrain.seed = [1, 2, 3, "
      "4]\n");
  MachineFile machine = two_cores();
  machine.memory_bytes = std::int64_t{1} << 28;
  std::vector<PlannedRun> plans = plan_runs(runs, machine);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(plans[i].problem, "");
  for (std::size_t i = 4; i < 8; ++i) {
    EXPECT_NE(plans[i].problem.find("for each rank do not fit the 0.3 GB of"), std::string::npos)
        << plans[i].problem;
    EXPECT_GT(plans[i].memory_bytes, machine.memory_bytes);
  }
  EXPECT_DOUBLE_EQ(time_of(plans, 1), 4 * plans[0].seconds);
  EXPECT_DOUBLE_EQ(time_of(plans, 3), 2 * plans[0].seconds);
  EXPECT_DOUBLE_EQ(time_of(plans, 9), plans[0].seconds);

  const std::string table = dry_run_table(plans, machine.name, 2);
  EXPECT_NE(table.find("width=64,heads=4,seed=1"), std::string::npos);
  EXPECT_NE(table.find("8 runs on two cores: "), std::string::npos) << table;
  EXPECT_NE(table.find(" of training steps, 2 at a time\n"), std::string::npos) << table;
  EXPECT_NE(
      table.find("4 of them cannot run:\nwidth=4096,heads=16,seed=1 width=4096,heads=16,seed=2 "
                 "width=4096,heads=16,seed=3 and 1 more: parallel: "),
      std::string::npos)
      << table;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1 + 8 + 2 + 1 + 1);
}

TEST(SweepPlan, SaysThatDataIsMissingOnce) {
  const std::vector<SweepRun> runs = SweepFolder().runs(
      "[set]\ndata.train = \"no/such/corpus.h5\"\n[grid]\ntrain.seed = [1, 2]\n");
  const std::vector<PlannedRun> plans = plan_runs(runs, two_cores());
  EXPECT_NE(plans[1].problem.find("no/such/corpus.h5"), std::string::npos) << plans[1].problem;
  EXPECT_EQ(plans[1].seconds, 0);
  const std::string table = dry_run_table(plans, "x", 1);
  EXPECT_NE(table.find("cannot run"), std::string::npos);
  EXPECT_EQ(table.find("corpus.h5"), table.rfind("corpus.h5")) << table;
}

TEST(SweepPlan, ALineHasAtMostHundredColumns) {
  const std::string long_name(90, 'a');
  const std::vector<SweepRun> runs =
      SweepFolder().runs("[set]\ntrain.steps = 1000000\n[grid]\nlog.trace = \"" + long_name +
                         "\"\nmodel.context = [64, 2048]\ntrain.batch_tokens = "
                         "1048576\n[[zip]]\nmodel.width = [64, 8192]\nmodel.heads = [4, 64]\n");
  std::istringstream table(dry_run_table(plan_runs(runs, two_cores()), "two cores", 1));
  std::string line;
  for (std::size_t i = 0; i < 1 + runs.size(); ++i) {
    ASSERT_TRUE(std::getline(table, line));
    EXPECT_LE(line.size(), 100u) << line;
  }
}

}  // namespace
}  // namespace mixspan
