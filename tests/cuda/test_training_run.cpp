// A whole run on a device: what it says of itself, and what it refuses before anything is written.
#include <cstdio>

#include "experiments/run/train.h"
#include "tests/cuda/training.h"

namespace mixspan::test {
namespace {

class RunOnDevice : public DeviceTest {
 protected:
  ExitCode run(const RunConfig& config, const std::string& name) {
    std::FILE* out = std::tmpfile();
    TrainRequest request{config, folder_ / name, out};
    request.threads = 1;
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

TEST_F(RunOnDevice, WhatCannotBeHonouredStopsBeforeTheRun) {
  RunConfig c = short_run();
  c.device = "cuda";
  c.kernels.attention = "mma";  // in fp32
  const std::string message = refusal([&] { run(c, "never"); });
  EXPECT_EQ(message.find("kernels.attention = \"mma\": it computes in bf16"), 0u) << message;
  EXPECT_FALSE(std::filesystem::exists(folder_ / "never"));
}

}  // namespace
}  // namespace mixspan::test
