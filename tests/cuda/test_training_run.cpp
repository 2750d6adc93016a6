// A whole run on a device: what it says of itself, and what it refuses before anything is written.
#include <algorithm>
#include <cstdio>

#include "experiments/run/train.h"
#include "tests/cuda/training.h"
#include "tests/experiments/run_files.h"

namespace mixspan::test {
namespace {

class RunOnDevice : public DeviceTest {
 protected:
  ExitCode run(const RunConfig& config, const std::string& name) {
    std::FILE* out = std::tmpfile();
    TrainRequest request{config, folder_ / name, out};
    request.thread_ranks = static_cast<int>(config.parallel.ranks());
    request.threads = request.thread_ranks;
    request.measure_peak = false;
    const auto close = [&] { std::fclose(out); };
    try {
      const ExitCode code = train(request);
      close();
      return code;
    } catch (...) {
      close();
      throw;
    }
  }
  static RunConfig short_run() {
    RunConfig c = small_run();
    c.train.steps = 2;
    c.train.batch_tokens = 2 * 24;
    c.eval.rows = 2;
    c.eval.every_steps = 0;
    c.log.every_steps = 1;
    c.log.tensorboard = false;
    return c;
  }
  // What a run says of its steps, without its evaluations.
  std::vector<nlohmann::json> steps(const char* name) const {
    std::vector<nlohmann::json> lines = metrics_of(folder_ / name);
    std::erase_if(lines, [](const nlohmann::json& line) { return line["kind"] != "train"; });
    return lines;
  }
  ScratchFolder folder_{memory_folder()};
};

TEST_F(RunOnDevice, AutoTakesTheDeviceAndSaysSoSlow) {
  RunConfig c = short_run();
  c.device = "auto";
  EXPECT_EQ(run(c, "auto"), kFinished);
  EXPECT_NE(read_file(folder_ / "auto/config.toml").find("device = \"cuda\""), std::string::npos);
  const std::string log = read_file(folder_ / "auto/log.txt");
  EXPECT_NE(log.find("device: cuda:0: " + describe(device()).name), std::string::npos) << log;
  // The same command on the CPU finds it finished; a longer run of it would go on there.
  c.device = "cpu";
  EXPECT_EQ(run(c, "auto"), kFinished);
}

TEST_F(RunOnDevice, SeveralRanksShareADeviceAndGoOnAsOneSlow) {
  RunConfig c = short_run();
  c.device = "cuda";
  c.parallel.dp = 2;
  c.train.micro_rows = 1;
  c.checkpoint.every_steps = 1;
  c.optimizer.schedule = "constant";
  EXPECT_EQ(run(c, "two"), kFinished);
  const std::string log = read_file(folder_ / "two/log.txt");
  EXPECT_NE(log.find("device: cuda:0: " + describe(device()).name), std::string::npos) << log;
  EXPECT_NE(read_file(folder_ / "two/result.json").find("\"dp_cp\""), std::string::npos);
  std::filesystem::remove(folder_ / "two/result.json");
  c.parallel.dp = 1;
  c.train.steps = 3;
  EXPECT_EQ(run(c, "two"), kFinished);
  EXPECT_NE(read_file(folder_ / "two/log.txt").find("going on from step 2"), std::string::npos);
}

TEST_F(RunOnDevice, SeveralRanksTakeADeviceOnlyWhereItIsAskedFor) {
  RunConfig c = short_run();
  c.device = "auto";
  c.parallel.dp = 2;
  c.train.micro_rows = 1;
  EXPECT_EQ(run(c, "auto"), kFinished);
  EXPECT_NE(read_file(folder_ / "auto/config.toml").find("device = \"cpu\""), std::string::npos);
}

TEST_F(RunOnDevice, WhatCannotBeHonouredStopsBeforeTheRun) {
  RunConfig c = short_run();
  c.device = "cuda";
  c.kernels.attention = "mma";  // in fp32
  const std::string message = refusal([&] { run(c, "never"); });
  EXPECT_EQ(message.find("kernels.attention = \"mma\": it computes in bf16"), 0u) << message;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "never"));
}

// Which algorithms a run uses decides its bits, so they are its own: it goes on with them, also
// where a timing would now choose others.
TEST_F(RunOnDevice, ItGoesOnWithTheAlgorithmsOfItsFolder) {
  RunConfig c = short_run();
  c.device = "cuda";
  c.model.layers = 1;
  c.optimizer.schedule = "constant";
  c.kernels.tune_products = true;
  let_a_timing_prefer(1);
  EXPECT_EQ(run(c, "run"), kFinished);
  const std::string kept = read_file(folder_ / "run/algorithms.txt");
  EXPECT_EQ(kept.find("mixspan matrix product algorithms"), 0u) << kept;
  std::filesystem::copy(
      folder_ / "run", folder_ / "without",
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::copy_symlinks);
  std::filesystem::remove(folder_ / "without/algorithms.txt");
  const bool other = let_a_timing_prefer(0);
  c.train.steps = 4;
  EXPECT_EQ(run(c, "run"), kFinished);
  EXPECT_EQ(read_file(folder_ / "run/algorithms.txt"), kept);
  if (!other) return;  // what a real device's timings would choose now is its own
  EXPECT_EQ(run(c, "without"), kFinished);
  let_a_timing_prefer(1);
  EXPECT_EQ(run(c, "whole"), kFinished);
  EXPECT_EQ(read_file(folder_ / "whole/algorithms.txt"), kept);
  EXPECT_EQ(steps("run"), steps("whole"));
  EXPECT_NE(steps("without"), steps("whole"));
  let_a_timing_prefer(0);
}

// In bf16, where a GELU of sums that were rounded first is another number.
TEST_F(RunOnDevice, ProductsTakeInWhatTheConfigSays) {
  RunConfig c = short_run();
  c.device = "cuda";
  c.train.precision = "bf16";
  c.model.layers = 1;
  EXPECT_EQ(run(c, "apart"), kFinished);
  EXPECT_EQ(run(c, "again"), kFinished);
  c.kernels.fuse_gelu = c.kernels.fuse_bias_gradient = true;
  EXPECT_EQ(run(c, "fused"), kFinished);
  const auto loss = [&](const char* name) { return steps(name).back()["loss"].get<double>(); };
  EXPECT_EQ(loss("apart"), loss("again"));
  EXPECT_NE(loss("apart"), loss("fused"));
  EXPECT_NEAR(loss("apart"), loss("fused"), 0.01 * loss("apart"));
  for (const char* epilogue : {"gelu_aux", "dgelu", "bias_gradient"}) {
    EXPECT_EQ(read_file(folder_ / "apart/algorithms.txt").find(epilogue), std::string::npos);
    EXPECT_NE(read_file(folder_ / "fused/algorithms.txt").find(epilogue), std::string::npos);
  }
}

TEST_F(RunOnDevice, WithoutTuningItKeepsTheFirstSuggestions) {
  RunConfig c = short_run();
  c.device = "cuda";
  c.model.layers = 1;
  let_a_timing_prefer(1);
  EXPECT_EQ(run(c, "first"), kFinished);
  c.kernels.tune_products = true;
  EXPECT_EQ(run(c, "tuned"), kFinished);
  const bool other = let_a_timing_prefer(0);
  const auto algorithms = [&](const char* name) {
    return read_file(folder_ / name / "algorithms.txt");
  };
  if (other) {
    EXPECT_NE(algorithms("first"), algorithms("tuned"));
  }
  const auto keys = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(keys(algorithms("first")), keys(algorithms("tuned")));
}

TEST_F(RunOnDevice, DamagedAlgorithmsAreRefusedBeforeTheRun) {
  RunConfig c = short_run();
  c.device = "cuda";
  std::filesystem::create_directories(folder_ / "run");
  write_file(folder_ / "run/algorithms.txt",
             "mixspan matrix product algorithms 1\nchecksum 0123456789abcdef\n");
  const std::string message = refusal([&] { run(c, "run"); });
  EXPECT_EQ(message,
            (folder_ / "run/algorithms.txt").string() +
                ": damaged: its checksum does not fit; remove it, and new choices are made");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run/config.toml"));
}

}  // namespace
}  // namespace mixspan::test
