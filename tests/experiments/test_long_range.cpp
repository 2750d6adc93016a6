// What Mixspan exists for: an answer farther back than sliding layers reach together is found by a
// model with one or two full layers, and by no other.
#include <gtest/gtest.h>

#include "experiments/run/evaluate.h"
#include "experiments/run/trainer.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

constexpr std::int64_t kLayers = 4, kWindow = 8, kDistance = 32;

// The share of right answers after training on recall at kDistance.
double accuracy_after_training(const std::string& full_layers) {
  RunConfig c;
  c.model.layers = kLayers;
  c.model.width = 64;
  c.model.heads = 4;
  c.model.context = 64;
  c.model.span = "sliding:8";
  c.model.full_layers = full_layers;
  c.model.init_std = 0.1;  // small models start to learn sooner from larger weights
  c.data.train = "synthetic:recall:distance=32,pairs=4,values=8";
  c.train.steps = 250;
  c.train.batch_tokens = 32 * c.model.context;
  c.optimizer.lr = 2e-3;
  c.optimizer.schedule = "constant";
  c.optimizer.warmup_steps = 20;
  test::TestExec test;
  const auto data = open_training(c.data, c.model.context, 1);
  c.model.vocab = data->vocab_size();
  Trainer trainer(test, c, *data);
  for (std::int64_t step = 0; step < c.train.steps; ++step) trainer.step(step);
  const auto held_out = open_evaluation(c.data, c.model.context, 64);
  EXPECT_DOUBLE_EQ(held_out->chance(), 1.0 / 8);
  return evaluate(test, trainer.model(), *held_out, 1).accuracy.value();
}

TEST(LongRange, SlowTheAnswerIsBeyondAllSlidingLayersTogether) {
  EXPECT_LT(kLayers * (kWindow - 1), kDistance);
}
// 64 rows of 29 answers: chance is 0.125 with a standard deviation of 0.008, and little more for
// the rows' common values.
TEST(LongRange, SlowSlidingLayersAloneStayAtChance) {
  EXPECT_LT(accuracy_after_training("none"), 0.18);
}
TEST(LongRange, SlowOneFullLayerFindsIt) { EXPECT_GT(accuracy_after_training("bottom:1"), 0.95); }
TEST(LongRange, SlowTwoFullLayersFindIt) { EXPECT_GT(accuracy_after_training("middle:2"), 0.95); }

}  // namespace
}  // namespace mixspan
