// The whole model: recomputation, threads, generation and reach, on a small one.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/rng.h"
#include "core/targets.h"
#include "layers/model.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

ModelConfig small_config() {
  ModelConfig c;
  c.layers = 4;
  c.width = 32;
  c.heads = 2;
  c.context = 48;
  c.vocab = 61;
  c.spans = {"full", "sliding:7", "block:8", "block-prev:8"};
  c.init_std = 0.3;  // far from uniform attention
  return c;
}

// Rows of the MLP that would lie whole pages apart; with 12 sequences of 45 tokens also enough rows
// that forward products turn the columns of weights into rows.
ModelConfig wide_config() {
  ModelConfig c = small_config();
  c.mlp_width = 1024;
  return c;
}

struct Input {
  Tensor tokens, positions, targets;
  Input(std::int64_t B, std::int64_t T, std::int64_t vocab)
      : tokens({B, T}, DType::i32), positions({B, T}, DType::i32), targets({B * T}, DType::i32) {
    const RandomStream stream(7, "tokens");
    for (std::int64_t i = 0; i < B * T; ++i) {
      const auto n = static_cast<std::uint64_t>(i);
      tokens.data<std::int32_t>()[i] =
          static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(vocab), n));
      targets.data<std::int32_t>()[i] =
          static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(vocab), n + 100000));
      positions.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % T);
    }
    targets.data<std::int32_t>()[3] = kIgnoreTarget;
  }
  ModelInput model() const { return {tokens, positions, {}}; }
};

// Hidden states, loss and all gradients of one pass.
struct Pass {
  double loss = 0;
  Tensor hidden, grads;
};

Pass run_pass(const ModelConfig& c, const Input& in, Exec ex) {
  Model model(c, Params::Gradients::yes);
  model.params().initialise(ex, 3);
  Arena arena("activations");
  arena.poison(true);
  Pass pass;
  Activations kept(arena, model.recompute());
  const View h = model.forward(ex, in.model(), kept);
  pass.hidden = copy_of(h);
  const View dh = arena.allocate("d hidden", h.shape());
  pass.loss = model.head().loss_and_grad(ex, model.params(), dh, h, in.targets, 1.0 / 100);
  std::vector<std::int64_t> order;
  model.backward(ex, dh, in.model(), kept, [&](std::int64_t layer) { order.push_back(layer); });
  EXPECT_EQ(order, (std::vector<std::int64_t>{3, 2, 1, 0, -1}));
  pass.grads = copy_of(model.params().grads());
  return pass;
}

TEST(Model, RecomputationChangesNoBit) {
  TestExec test;
  for (ModelConfig c : {small_config(), wide_config()}) {
    const Input in(12, 45, c.vocab);
    c.recompute = "none";
    const Pass want = run_pass(c, in, test);
    ASSERT_TRUE(std::isfinite(want.loss));
    for (const char* mode : {"selective", "products", "full"}) {
      c.recompute = mode;
      const Pass got = run_pass(c, in, test);
      EXPECT_EQ(got.loss, want.loss) << mode;
      EXPECT_EQ(bits_differ(got.hidden, want.hidden), "") << mode;
      EXPECT_EQ(bits_differ(got.grads, want.grads), "") << mode;
    }
  }
}

TEST(Model, WithWideLayersAgreesWithTheOracle) {
  TestExec test;
  const ModelConfig c = wide_config();
  const Input in(12, 45, c.vocab);
  Exec oracle = test.exec();
  oracle.oracle = true;
  const Pass got = run_pass(c, in, test), want = run_pass(c, in, oracle);
  EXPECT_NEAR(got.loss, want.loss, 1e-5 * want.loss);
  EXPECT_EQ(differs(got.hidden, want.hidden, kModel), "");
  EXPECT_EQ(differs(got.grads, want.grads, kModel), "");
}

TEST(Model, RecomputationSavesMemory) {
  ModelConfig c = small_config();
  const Input in(2, 45, c.vocab);
  std::vector<std::size_t> bytes;
  for (const char* mode : {"none", "selective", "products", "full"}) {
    TestExec test;
    c.recompute = mode;
    const Model model(c, Params::Gradients::no);
    Arena arena("activations");
    Activations kept(arena, model.recompute());
    model.forward(test, in.model(), kept);
    bytes.push_back(arena.high_water_bytes());
  }
  EXPECT_LT(bytes[1], 0.8 * static_cast<double>(bytes[0]));
  EXPECT_LT(bytes[2], 0.5 * static_cast<double>(bytes[1]));
  EXPECT_LT(bytes[3], 0.7 * static_cast<double>(bytes[2]));
}

TEST(Model, ThreadsChangeNoBit) {
  for (const ModelConfig& c : {small_config(), wide_config()}) {
    const Input in(12, 45, c.vocab);
    TestExec one(1);
    const Pass want = run_pass(c, in, one);
    for (int threads : {2, 3, 4, 5}) {
      TestExec test(threads);
      const Pass got = run_pass(c, in, test);
      EXPECT_EQ(got.loss, want.loss) << threads;
      EXPECT_EQ(bits_differ(got.grads, want.grads), "") << threads;
    }
  }
}

TEST(Model, EverySpanIsTheFullOneWhenItCoversTheSequence) {
  TestExec test;
  ModelConfig c = small_config();
  const Input in(1, 45, c.vocab);
  c.spans.assign(4, "full");
  const Pass want = run_pass(c, in, test);
  for (const char* span : {"sliding:45", "block:48", "block-prev:24"}) {
    c.spans.assign(4, span);
    EXPECT_EQ(bits_differ(run_pass(c, in, test).hidden, want.hidden), "") << span;
  }
}

TEST(Model, SlidingLayersReachNoFartherThanTheirWindowsTogether) {
  TestExec test;
  ModelConfig c = small_config();
  c.spans.assign(4, "sliding:7");
  Input in(1, 45, c.vocab);
  const Pass before = run_pass(c, in, test);
  in.tokens.data<std::int32_t>()[0] = (in.tokens.data<std::int32_t>()[0] + 1) % 61;
  const Pass after = run_pass(c, in, test);
  const std::int64_t reach = 4 * (7 - 1);
  EXPECT_NE(bits_differ(after.hidden.view().slice(0, reach, reach + 1),
                        before.hidden.view().slice(0, reach, reach + 1)),
            "");
  EXPECT_EQ(bits_differ(after.hidden.view().slice(0, reach + 1, 45),
                        before.hidden.view().slice(0, reach + 1, 45)),
            "");
}

TEST(Model, DocumentsDoNotSeeEachOther) {
  TestExec test;
  ModelConfig c = small_config();
  Input in(1, 45, c.vocab);
  Tensor start({1, 45}, DType::i32);
  for (int t = 20; t < 45; ++t) start.data<std::int32_t>()[t] = 20;
  const Model model = [&] {
    Model m(c, Params::Gradients::no);
    m.params().initialise(test, 3);
    return m;
  }();
  ModelInput input = in.model();
  input.document_start = start;
  const Tensor before = copy_of(model.infer(test.exec(), input));
  in.tokens.data<std::int32_t>()[19] = (in.tokens.data<std::int32_t>()[19] + 1) % 61;
  const Tensor after = copy_of(model.infer(test.exec(), input));
  EXPECT_NE(bits_differ(after.view().slice(0, 19, 20), before.view().slice(0, 19, 20)), "");
  EXPECT_EQ(bits_differ(after.view().slice(0, 20, 45), before.view().slice(0, 20, 45)), "");
}

// Prompts of several lengths, then token by token: the logits are those of the whole text at once.
TEST(Model, GenerationSeesWhatTrainingSees) {
  TestExec test;
  const Exec ex = test;
  const ModelConfig c = small_config();
  const Input in(2, 45, c.vocab);
  Model model(c, Params::Gradients::no);
  model.params().initialise(ex, 3);
  Tensor want({2 * 45, c.vocab});
  model.head().logits(ex, model.params(), want, model.infer(ex, in.model()));
  for (std::int64_t prompt : {1, 6, 7, 8, 23, 44}) {
    Model::State state = model.start(ex, 2, 45);
    Tensor logits = poisoned_tensor({2, c.vocab});
    for (std::int64_t t = prompt; t <= 45; ++t) {
      const std::int64_t begin = state.length;
      const ConstView all = in.tokens;
      Tensor part({2, t - begin}, DType::i32);
      for (std::int64_t b = 0; b < 2; ++b) {
        std::copy_n(all.data<std::int32_t>() + b * 45 + begin, t - begin,
                    part.data<std::int32_t>() + b * (t - begin));
      }
      model.extend(ex, logits, part, state);
      for (std::int64_t b = 0; b < 2; ++b) {
        const std::int64_t row = b * 45 + t - 1;
        ASSERT_EQ(
            differs(logits.view().slice(0, b, b + 1), want.view().slice(0, row, row + 1), kModel),
            "")
            << "prompt " << prompt << ", token " << t;
      }
    }
  }
}

TEST(Model, GenerationKeepsOnlyWhatASpanCanReach) {
  ModelConfig c = small_config();
  const std::size_t row_bytes = 2 * static_cast<std::size_t>(c.width) * sizeof(float);
  const Model model(c, Params::Gradients::no);
  TestExec test;
  const Model::State state = model.start(test, 1, 48);
  EXPECT_NEAR(static_cast<double>(state.mixers[0]->size_bytes()), 48.0 * row_bytes, 64);
  EXPECT_NEAR(static_cast<double>(state.mixers[1]->size_bytes()), 7.0 * row_bytes, 64);
  EXPECT_NEAR(static_cast<double>(state.mixers[2]->size_bytes()), 8.0 * row_bytes, 64);
  EXPECT_NEAR(static_cast<double>(state.mixers[3]->size_bytes()), 16.0 * row_bytes, 64);
}

TEST(Model, ParametersAreDeclaredOnceAndCounted) {
  const ModelConfig c = small_config();
  const Model model(c, Params::Gradients::no);
  const std::int64_t C = 32, F = 128, per_block = 4 * C * C + C + 2 * F * C + F + C + 4 * C;
  EXPECT_EQ(model.params().count(), 61 * C + 48 * C + 4 * per_block + 2 * C);
  std::int64_t covered = 0;
  for (const auto& range : model.params().decay_ranges()) {
    EXPECT_EQ(range.begin, covered);
    covered = range.end;
  }
  EXPECT_GE(covered, model.params().count());
}

}  // namespace
}  // namespace mixspan
