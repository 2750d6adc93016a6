// The step: accumulation, normalisation, clipping, and stopping before damage is done.
#include "experiments/run/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "experiments/run/evaluate.h"
#include "experiments/run/generate.h"
#include "kernels/reduce.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

RunConfig small_run() {
  RunConfig c;
  c.model.layers = 2;
  c.model.width = 32;
  c.model.heads = 2;
  c.model.context = 64;
  c.model.span = "sliding:8";
  c.model.full_layers = "bottom:1";
  c.data.train = "synthetic:copy:distance=16";
  c.train.steps = 20;
  c.train.batch_tokens = 4 * 64;
  c.optimizer.lr = 1e-2;
  return c;
}

struct Fixture {
  explicit Fixture(RunConfig c = small_run())
      : config(std::move(c)),
        data(open_training(config.data, config.model.context, 1)),
        trainer((config.model.vocab = data->vocab_size(), test), config, *data) {}
  Tensor weights() { return copy_of(trainer.model().params().weights()); }

  TestExec test;
  RunConfig config;
  std::unique_ptr<SampleSource> data;
  Trainer trainer;
};

std::string failure(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Trainer, TheFirstLossIsThatOfGuessing) {
  Fixture f;
  EXPECT_NEAR(f.trainer.step(0).loss, std::log(static_cast<double>(f.config.model.vocab)), 0.1);
}

TEST(Trainer, StepsRepeatBitForBit) {
  Fixture a, b;
  for (std::int64_t s = 0; s < 5; ++s) {
    const StepReport x = a.trainer.step(s), y = b.trainer.step(s);
    EXPECT_EQ(x.loss, y.loss);
    EXPECT_EQ(x.grad_norm, y.grad_norm);
  }
  EXPECT_EQ(bits_differ(a.weights(), b.weights()), "");
}

// Whatever the batch is cut into, loss and gradients are those of the whole batch, because both are
// normalised by the batch's number of targets.
TEST(Trainer, MicroBatchesAddUpToTheBatch) {
  const auto run = [](std::int64_t micro_rows) {
    RunConfig c = small_run();
    c.train.micro_rows = micro_rows;
    auto f = std::make_unique<Fixture>(c);
    const StepReport r = f->trainer.step(0);
    return std::tuple(r.loss, r.grad_norm, copy_of(f->trainer.model().params().grads()));
  };
  const auto [loss, norm, grads] = run(4);
  for (std::int64_t rows : {1, 2}) {
    const auto [l, n, g] = run(rows);
    EXPECT_NEAR(l, loss, 1e-6 * loss) << rows;
    EXPECT_NEAR(n, norm, 1e-5 * norm) << rows;
    EXPECT_EQ(differs(g, grads, kModel), "") << rows;
  }
}

// With clipping, the update is that of gradients of the given norm; Adam's first step hides a
// scale, so the moments are compared.
TEST(Trainer, LongGradientsAreScaledDown) {
  RunConfig free = small_run(), clipped = small_run();
  free.train.max_grad_norm = 0;
  clipped.train.max_grad_norm = 1e-3;
  Fixture a(free), b(clipped);
  const double norm = a.trainer.step(0).grad_norm;
  EXPECT_EQ(b.trainer.step(0).grad_norm, norm);
  ASSERT_GT(norm, 1e-2);
  const auto moments = [](Fixture& f) {
    Tensor found;
    f.trainer.collect_state([&](const std::string& name, const ConstView& tensor) {
      if (name == "adam_m/h.1.mlp.fc.weight") found = copy_of(tensor);
    });
    return found;
  };
  Tensor want = moments(a);
  for (std::int64_t i = 0; i < want.size(); ++i) {
    want.data<float>()[i] *= static_cast<float>(1e-3 / norm);
  }
  EXPECT_EQ(differs(moments(b), want, kReduction), "");
}

TEST(Trainer, StopsBeforeAWeightMovesAndSaysWhereItBegan) {
  const auto with_weight = [](const std::string& name, float value) {
    Fixture f;
    for (const NamedView& p :
         f.trainer.model().params().named(f.trainer.model().params().weights())) {
      if (p.name == name) p.view.data<float>()[0] = value;
    }
    const Tensor before = f.weights();
    const std::string message = failure([&] { f.trainer.step(3); });
    EXPECT_EQ(bits_differ(f.weights(), before), "");
    EXPECT_NE(message.find("step 3: "), std::string::npos) << message;
    return message.substr(message.find("first seen in "));
  };
  EXPECT_EQ(with_weight("h.1.mlp.fc.weight", std::numeric_limits<float>::quiet_NaN()),
            "first seen in the weight h.1.mlp.fc.weight. No weight has moved; go on from the last "
            "checkpoint with a lower optimizer.lr");
  const std::string overflow = with_weight("h.1.ln_2.weight", 3e38f);
  EXPECT_EQ(overflow.find("first seen in the output of layer 1, rows 0..3 of the batch."), 0u)
      << overflow;
}

TEST(Generate, RefusesPromptsThatCannotBeHonoured) {
  Fixture f;
  const auto with = [&](std::vector<std::int32_t> prompt, std::int64_t max_tokens) {
    return refusal([&] {
      generate(f.test, f.trainer.model(), prompt, {.max_tokens = max_tokens}, [](std::int32_t) {});
    });
  };
  EXPECT_EQ(with({}, 1), "--prompt is empty; wanted some text to go on from");
  EXPECT_EQ(with(std::vector<std::int32_t>(64, 1), 1),
            "--prompt has 64 tokens; the model's context of 64 leaves room for at most 63");
  EXPECT_EQ(
      with({1, 2, 3}, 62),
      "--max-tokens 62: with a prompt of 3 tokens the model's context of 64 leaves room for at "
      "most 61");
  EXPECT_NE(with({100000}, 1).find("--prompt holds token 100000"), std::string::npos);
}

TEST(Generate, FillsTheContextAndRepeats) {
  Fixture f;
  const std::vector<std::int32_t> prompt{1, 2, 3};
  std::vector<std::int32_t> seen;
  const auto text = generate(f.test, f.trainer.model(), prompt, {.max_tokens = 61},
                             [&](std::int32_t token) { seen.push_back(token); });
  EXPECT_EQ(text.size(), 61u);
  EXPECT_EQ(seen, text);
  EXPECT_EQ(generate(f.test, f.trainer.model(), prompt, {.max_tokens = 61}, [](std::int32_t) {}),
            text);
}

TEST(Evaluate, BucketsCoverEveryTargetOnce) {
  Fixture f;
  const auto source = open_evaluation(f.config.data, 64, 5);
  ASSERT_NE(source, nullptr);
  const EvalMetrics one = evaluate(f.test, f.trainer.model(), *source, 1);
  const EvalMetrics many = evaluate(f.test, f.trainer.model(), *source, 7);
  EXPECT_GT(one.targets, 0);
  std::int64_t targets = 0;
  double loss = 0;
  for (const PositionLoss& b : many.by_position) {
    targets += b.targets;
    loss += b.loss * static_cast<double>(b.targets);
  }
  EXPECT_EQ(targets, one.targets);
  EXPECT_NEAR(loss / static_cast<double>(targets), one.loss, 1e-9);
  EXPECT_NEAR(one.loss, std::log(static_cast<double>(f.config.model.vocab)), 0.2);
}

}  // namespace
}  // namespace mixspan
