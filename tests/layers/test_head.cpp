// The loss over a vocabulary in shards against that of one rank that has all of it.
#include "layers/head.h"

#include <gtest/gtest.h>

#include "layers/model.h"
#include "parallel/thread_ranks.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

ModelConfig no_layers(std::int64_t vocab) {
  ModelConfig c;
  c.layers = 0;
  c.width = 12;
  c.heads = 12;
  c.context = 8;
  c.vocab = vocab;
  c.full_layers = "none";
  return c;
}

struct HeadResult {
  double loss = 0;
  Tensor losses, correct, dh;
};

HeadResult run_head(const TensorParallel& tp, const ModelConfig& c, const ConstView& h,
                    const ConstView& targets) {
  TestExec test(1);
  const Exec ex = test;
  Model model(c, Params::Gradients::yes, {tp, {}});
  model.params().initialise(ex, 3);
  fill_zero(model.params().grads());
  const std::int64_t R = h.dim(0);
  HeadResult r{0, poisoned_tensor({R}), Tensor({R}, DType::u8), poisoned_tensor(h.shape())};
  model.head().evaluate(ex, model.params(), r.losses, r.correct, h, targets);
  r.loss = model.head().loss_and_grad(ex, model.params(), r.dh, h, targets, 1.0 / 64);
  return r;
}

// So many rows that each rank works on them in chunks. 8192 tokens over 3 ranks are shards of two
// sizes, of which a rank could process a different number of rows at a time.
TEST(Head, RanksWhoseShardsDifferWorkOnTheSameChunks) {
  constexpr std::int64_t kVocab = 8192, R = 1600;
  ASSERT_NE(logits_rows(R, kVocab / 3), logits_rows(R, kVocab / 3 + 1));
  const ModelConfig c = no_layers(kVocab);
  const Tensor h = random_tensor({R, c.width}, 1);
  Tensor targets({R}, DType::i32);
  for (std::int64_t r = 0; r < R; ++r) {
    targets.data<std::int32_t>()[r] = static_cast<std::int32_t>(r * 31 % kVocab);
  }
  const HeadResult want = run_head(TensorParallel(), c, h, targets);
  std::vector<HeadResult> got(3);
  run_thread_ranks(3, {.timeout_seconds = 60}, [&](std::unique_ptr<Communicator> tp) {
    got[static_cast<std::size_t>(tp->rank())] = run_head(TensorParallel(*tp, false), c, h, targets);
  });
  for (const HeadResult& r : got) {
    EXPECT_NEAR(r.loss, want.loss, kReduction.l2 * want.loss);
    EXPECT_EQ(differs(r.losses, want.losses, kReduction), "");
    EXPECT_EQ(differs(r.dh, want.dh, kReduction), "");
    EXPECT_EQ(bits_differ(r.correct, want.correct), "");
  }
}

}  // namespace
}  // namespace mixspan
