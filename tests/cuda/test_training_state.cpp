// What leaves a device and comes back: checkpoints, evaluations, generated text.
#include "experiments/run/checkpoint.h"
#include "experiments/run/evaluate.h"
#include "experiments/run/generate.h"
#include "experiments/run/model_file.h"
#include "tests/cuda/training.h"

namespace mixspan::test {
namespace {

class StateOnDevice : public DeviceTest {
 protected:
  Checkpoint saved(const SmallRun& run, const std::string& name) const {
    const auto path = save_checkpoint(
        scratch_ / name,
        {.step = 3,
         .tokens_seen = 3,
         .config_toml = to_toml(run.config),
         .tokenizer_json = "",
         .build = "test"},
        [&](const PutTensor& put) { run.trainer->collect_state(put); }, 0);
    return Checkpoint::open(path);
  }
  static RunConfig in(const std::string& precision) {
    RunConfig c = small_run();
    c.train.precision = precision;
    return c;
  }
  static void expect_equal(const std::map<std::string, Tensor>& got,
                           const std::map<std::string, Tensor>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [name, tensor] : got) {
      EXPECT_EQ(bits_differ(tensor, want.at(name)), "") << name;
    }
  }
  ScratchFolder scratch_{memory_folder()};
};

TEST_F(StateOnDevice, ARunGoesOnFromItsCheckpointBitForBitSlow) {
  for (const char* precision : {"fp32", "bf16"}) {
    SCOPED_TRACE(precision);
    SmallRun whole(exec(), in(precision));
    for (std::int64_t s = 0; s < 2; ++s) whole.trainer->step(s);
    const Checkpoint checkpoint = saved(whole, precision);
    RunConfig other = in(precision);
    other.train.seed = 2;  // other weights than those that come from the checkpoint
    SmallRun resumed(exec(), other);
    resumed.trainer->restore_state(checkpoint);
    for (std::int64_t s = 2; s < 4; ++s) {
      const StepReport want = whole.trainer->step(s), got = resumed.trainer->step(s);
      EXPECT_EQ(got.loss, want.loss);
      EXPECT_EQ(got.grad_norm, want.grad_norm);
    }
    expect_equal(resumed.state(), whole.state());
  }
}

TEST_F(StateOnDevice, ACheckpointIsTheSameForBothKindsOfDevice) {
  TestExec host;
  SmallRun on_device(exec(), in("bf16"));
  on_device.trainer->step(0);
  const Checkpoint checkpoint = saved(on_device, "there");
  SmallRun on_cpu(host, small_run());
  on_cpu.trainer->restore_state(checkpoint);
  expect_equal(on_cpu.state(), on_device.state());
  const StepReport w = on_cpu.trainer->step(1);
  SmallRun back(exec(), small_run());
  back.trainer->restore_state(checkpoint);
  EXPECT_NEAR(back.trainer->step(1).loss, w.loss, 1e-5 * w.loss);
}

TEST_F(StateOnDevice, EvaluationsAreTheCpus) {
  TestExec host;
  SmallRun on_device(exec(), small_run()), on_cpu(host, small_run());
  const auto source = open_evaluation(on_cpu.config.data, 24, 5);
  const EvalMetrics want = evaluate(host, on_cpu.trainer->model(), *source, 4);
  const EvalMetrics got = evaluate(exec(), on_device.trainer->model(), *source, 4);
  EXPECT_NEAR(got.loss, want.loss, 1e-5 * want.loss);
  EXPECT_EQ(got.targets, want.targets);
  EXPECT_EQ(got.accuracy, want.accuracy);
  ASSERT_EQ(got.by_position.size(), want.by_position.size());
  for (std::size_t i = 0; i < got.by_position.size(); ++i) {
    EXPECT_NEAR(got.by_position[i].loss, want.by_position[i].loss, 1e-4);
    EXPECT_EQ(got.by_position[i].targets, want.by_position[i].targets);
  }
}

TEST_F(StateOnDevice, TextIsTheCpus) {
  TestExec host;
  SmallRun on_device(exec(), small_run()), on_cpu(host, small_run());
  const std::vector<std::int32_t> prompt{1, 2, 3, 4, 5, 6, 7, 1, 2};  // longer than the window
  for (const double temperature : {0.0, 1.0}) {
    const GenerateOptions options{.max_tokens = 15, .sampler = {.temperature = temperature}};
    const auto ignore = [](std::int32_t) {};
    EXPECT_EQ(generate(exec(), on_device.trainer->model(), prompt, options, ignore),
              generate(host, on_cpu.trainer->model(), prompt, options, ignore))
        << temperature;
  }
}

TEST_F(StateOnDevice, AModelFileIsLoadedInThePrecisionItWasTrainedIn) {
  SmallRun run(exec(), in("bf16"));
  run.trainer->step(0);
  saved(run, "run/checkpoints");
  TestExec host;
  const LoadedModel there = load_model(scratch_ / "run", exec());
  EXPECT_EQ(there.precision, Precision::bf16);
  EXPECT_EQ(bits_differ(download(there.model->params().copies()),
                        download(run.trainer->model().params().copies())),
            "");
  const LoadedModel here = load_model(scratch_ / "run", host);
  EXPECT_EQ(bits_differ(here.model->params().weights(), download(there.model->params().weights())),
            "");
}

}  // namespace
}  // namespace mixspan::test
