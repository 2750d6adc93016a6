// Training with products of bf16: the loss goes where it goes in fp32, and a run repeats and goes
// on bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "experiments/run/trainer.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

class Bf16Training : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_avx512_bf16()) GTEST_SKIP() << "this processor has no AVX512-BF16";
  }
};

RunConfig small_run(const char* precision, std::int64_t seed = 1) {
  RunConfig c;
  c.model.layers = 3;
  c.model.width = 64;
  c.model.heads = 2;
  c.model.context = 96;
  c.model.span = "sliding:20";
  c.model.full_layers = "bottom:1";
  c.data.train = "synthetic:copy:distance=16";
  c.train.steps = 200;
  c.train.batch_tokens = 8 * 96;
  c.train.seed = seed;
  c.train.precision = precision;
  c.optimizer.lr = 3e-3;
  return c;
}

struct Fixture {
  explicit Fixture(RunConfig c, int threads = 2)
      : test(threads),
        config(std::move(c)),
        data(open_training(config.data, config.model.context, 1)),
        trainer((config.model.vocab = data->vocab_size(), test), config, *data) {}
  std::vector<double> losses(std::int64_t begin, std::int64_t end) {
    std::vector<double> all;
    for (std::int64_t s = begin; s < end; ++s) all.push_back(trainer.step(s).loss);
    return all;
  }

  TestExec test;
  RunConfig config;
  std::unique_ptr<SampleSource> data;
  Trainer trainer;
};

// Mean distance of two curves over their last `steps`.
double distance_of(const std::vector<double>& a, const std::vector<double>& b, std::size_t steps) {
  double sum = 0;
  for (std::size_t i = a.size() - steps; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / static_cast<double>(steps);
}

TEST_F(Bf16Training, SlowFollowsTheLossesOfFp32WithinTheNoiseOfSeeds) {
  const std::vector<double> fp32 = Fixture(small_run("fp32")).losses(0, 200);
  const std::vector<double> bf16 = Fixture(small_run("bf16")).losses(0, 200);
  double between_seeds = 0;
  for (const std::int64_t seed : {2, 3, 4}) {
    between_seeds += distance_of(fp32, Fixture(small_run("fp32", seed)).losses(0, 200), 100) / 3;
  }
  EXPECT_LT(fp32.back(), 0.9 * fp32.front());
  EXPECT_LT(distance_of(fp32, bf16, 100), between_seeds);
  EXPECT_LT(distance_of(fp32, bf16, 200), 0.02 * fp32.front());
  EXPECT_NE(fp32, bf16);
}

TEST_F(Bf16Training, KeepsLess) {
  Fixture fp32(small_run("fp32")), bf16(small_run("bf16"));
  fp32.losses(0, 1);
  bf16.losses(0, 1);
  // A layer keeps nine times the hidden state, four of it inside the MLP, and is given one more.
  EXPECT_LT(static_cast<double>(bf16.trainer.activations().high_water_bytes()),
            0.85 * static_cast<double>(fp32.trainer.activations().high_water_bytes()));
}

TEST_F(Bf16Training, RepeatsBitForBitOnAnyNumberOfThreads) {
  const std::vector<double> want = Fixture(small_run("bf16"), 1).losses(0, 5);
  for (const int threads : {2, 3}) {
    EXPECT_EQ(Fixture(small_run("bf16"), threads).losses(0, 5), want) << threads;
  }
}

TEST_F(Bf16Training, GoesOnFromItsStateBitForBit) {
  Fixture whole(small_run("bf16"));
  whole.losses(0, 3);
  Fixture first(small_run("bf16")), second(small_run("bf16"));
  first.losses(0, 3);
  const ScratchFolder scratch(memory_folder());
  const std::filesystem::path saved = save_checkpoint(
      scratch / "checkpoints",
      {.step = 3, .tokens_seen = 0, .config_toml = "", .tokenizer_json = "", .build = ""},
      [&](const PutTensor& put) { first.trainer.collect_state(put); }, 1);
  second.losses(0, 1);  // another state, which is to go
  second.trainer.restore_state(Checkpoint::open(saved));
  EXPECT_EQ(second.losses(3, 6), whole.losses(3, 6));
  EXPECT_EQ(bits_differ(second.trainer.model().params().weights(),
                        whole.trainer.model().params().weights()),
            "");
}

}  // namespace
}  // namespace mixspan
