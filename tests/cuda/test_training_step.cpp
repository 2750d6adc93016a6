// A step on a device against the CPU's, and bf16 against fp32.
#include <cmath>

#include "experiments/run/evaluate.h"
#include "tests/cuda/training.h"

namespace mixspan::test {
namespace {

class TrainingOnDevice : public DeviceTest {
 protected:
  // The first step on both: equal losses, norms and gradients, as far as fp32 goes.
  void expect_same_step(const RunConfig& config, Rows rows = Rows::as_they_are) {
    TestExec host;
    SmallRun want(host, config, rows), got(exec(), config, rows);
    const StepReport w = want.trainer->step(0), g = got.trainer->step(0);
    EXPECT_NEAR(g.loss, w.loss, 1e-5 * w.loss);
    EXPECT_NEAR(g.grad_norm, w.grad_norm, 1e-4 * w.grad_norm);
    const Params& host_params = want.trainer->model().params();
    Params& params = got.trainer->model().params();
    const Tensor grads = download(params.grads()), weights = download(params.weights());
    for (std::size_t p = 0; p < params.specs().size(); ++p) {
      const auto id = static_cast<ParamId>(p);
      EXPECT_EQ(differs(params.part_of(grads.view(), id), host_params.grad(id), kModel), "")
          << "gradient of " << params.specs()[p].name;
    }
  }
};

TEST_F(TrainingOnDevice, AStepIsTheCpusForEverySpanSlow) {
  for (const char* span : {"full", "sliding:5", "block:8", "block-prev:6"}) {
    SCOPED_TRACE(span);
    expect_same_step(small_run(span));
  }
}

TEST_F(TrainingOnDevice, AStepIsTheCpusForEveryRecomputationSlow) {
  for (const char* policy : {"none", "selective", "products", "full"}) {
    SCOPED_TRACE(policy);
    RunConfig c = small_run();
    c.model.recompute = policy;
    expect_same_step(c);
  }
}

TEST_F(TrainingOnDevice, AStepIsTheCpusWithDocumentsAndBiases) {
  RunConfig c = small_run();
  c.model.qkv_bias = true;
  c.model.attention_scale = "one";
  expect_same_step(c, Rows::of_documents);
}

// GPT-2's vocabulary is odd: rows of logits are padded, so that every product finds its matrices
// where fast algorithms want them.
TEST_F(TrainingOnDevice, AnOddVocabularyIsPaddedToWhereProductsAreFast) {
  RunConfig c = small_run();
  c.model.layers = 1;
  c.data.train = "synthetic:copy:distance=7,values=29";
  want_aligned_products(true);
  expect_same_step(c);
  c.train.precision = "bf16";
  Exec ex = exec();
  ex.precision = Precision::bf16;
  SmallRun run(ex, c);
  EXPECT_EQ(run.config.model.vocab % 2, 1);
  EXPECT_GT(run.trainer->step(0).loss, 0);
  const auto source = open_evaluation(run.config.data, 24, 3);
  EXPECT_GT(evaluate(ex, run.trainer->model(), *source, 4).loss, 0);
  want_aligned_products(false);
}

TEST_F(TrainingOnDevice, RecomputationChangesNoBitSlow) {
  std::map<std::string, Tensor> first;
  for (const char* policy : {"none", "selective", "products", "full"}) {
    RunConfig c = small_run();
    c.model.recompute = policy;
    SmallRun run(exec(), c);
    run.trainer->step(0);
    run.trainer->step(1);
    auto state = run.state();
    if (first.empty())
      first = std::move(state);
    else
      for (const auto& [name, tensor] : state) {
        EXPECT_EQ(bits_differ(tensor, first.at(name)), "") << policy << ": " << name;
      }
  }
}

TEST_F(TrainingOnDevice, StepsRepeatBitForBitSlow) {
  SmallRun a(exec(), small_run()), b(exec(), small_run());
  for (std::int64_t s = 0; s < 3; ++s) {
    const StepReport x = a.trainer->step(s), y = b.trainer->step(s);
    EXPECT_EQ(x.loss, y.loss);
    EXPECT_EQ(x.grad_norm, y.grad_norm);
  }
  const auto want = a.state();
  for (const auto& [name, tensor] : b.state()) {
    EXPECT_EQ(bits_differ(tensor, want.at(name)), "") << name;
  }
}

// Losses fall together; a bf16 number has 8 bits, so each loss is off by some thousandths.
TEST_F(TrainingOnDevice, StepsInBf16FollowThoseInFp32Slow) {
  RunConfig c = small_run();
  SmallRun want(exec(), c, Rows::always_the_first);
  c.train.precision = "bf16";
  SmallRun got(exec(), c, Rows::always_the_first);
  double first = 0, last = 0;
  for (std::int64_t s = 0; s < 10; ++s) {
    const StepReport w = want.trainer->step(s), g = got.trainer->step(s);
    EXPECT_NEAR(g.loss, w.loss, 0.01 * w.loss) << "step " << s;
    (s == 0 ? first : last) = w.loss;
  }
  EXPECT_LT(last, 0.95 * first);
  const Params& params = got.trainer->model().params();
  const Tensor weights = download(params.weights()), copies = download(params.copies());
  EXPECT_EQ(bits_differ(copies, as_dtype(DType::bf16, weights)), "");
}

TEST_F(TrainingOnDevice, StopsBeforeAWeightMovesAndSaysWhereItBegan) {
  SmallRun run(exec(), small_run());
  Params& params = run.trainer->model().params();
  const auto before = [&] { return download(params.weights()); };
  for (std::size_t p = 0; p < params.specs().size(); ++p) {
    if (params.specs()[p].name != "h.1.ln_2.weight") continue;
    Tensor gain({run.config.model.width});
    std::fill_n(gain.data<float>(), gain.size(), 3e38f);
    params.write(exec(), static_cast<ParamId>(p), gain);
  }
  const Tensor weights = before();
  try {
    run.trainer->step(3);
    FAIL() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("first seen in the output of layer 1, rows 0..1"),
              std::string::npos)
        << e.what();
  }
  EXPECT_EQ(bits_differ(before(), weights), "");
}

}  // namespace
}  // namespace mixspan::test
