// Model and optimiser against Hugging Face's: logits, loss, every gradient, the losses of ten AdamW
// steps. The files were made by tests/golden/model/make_golden.py.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "core/h5.h"
#include "core/targets.h"
#include "experiments/run/optimizer.h"
#include "kernels/reduce.h"
#include "layers/model.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

class Golden : public testing::TestWithParam<const char*> {
 protected:
  Golden()
      : file_(H5File::open(std::string(MIXSPAN_SOURCE_DIR "/tests/golden/model/") + GetParam() +
                           ".h5")),
        model_(config(), Params::Gradients::yes),
        tokens_(read("tokens")),
        targets_(read("targets")),
        positions_(tokens_.shape(), DType::i32) {
    for (const auto& [name, view] : params()) file_.read("param/" + name, view);
    const std::int64_t T = tokens_.shape()[1];
    for (std::int64_t i = 0; i < tokens_.size(); ++i) {
      positions_.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % T);
    }
  }

  ModelConfig config() const {
    ModelConfig c;
    c.layers = file_.int_attribute("layers");
    c.width = file_.int_attribute("width");
    c.heads = file_.int_attribute("heads");
    c.mlp_width = file_.int_attribute("mlp_width");
    c.context = file_.int_attribute("context");
    c.vocab = file_.int_attribute("vocab");
    c.qkv_bias = file_.int_attribute("qkv_bias") != 0;
    c.attention_scale = file_.text_attribute("attention_scale");
    c.layer_norm_eps = number("layer_norm_eps");
    std::string spans = file_.text_attribute("spans") + ",";
    for (std::size_t comma; (comma = spans.find(',')) != std::string::npos;) {
      c.spans.push_back(spans.substr(0, comma));
      spans.erase(0, comma + 1);
    }
    return c;
  }
  double number(const std::string& name) const { return std::stod(file_.text_attribute(name)); }
  Tensor read(const std::string& name) const {
    Tensor t(file_.shape(name), file_.dtype(name));
    file_.read(name, t);
    return t;
  }
  std::vector<NamedView> params() { return model_.params().named(model_.params().weights()); }
  ModelInput input() const { return {tokens_, positions_, {}}; }
  ConstView targets() const { return targets_.view().reshape({targets_.size()}); }

  // The mean loss; adds its gradients to zeroed ones.
  double loss_and_grad(const Exec& ex) {
    const std::int32_t* t = targets_.data<std::int32_t>();
    const auto ignored = std::count(t, t + targets_.size(), kIgnoreTarget);
    const double scale = 1.0 / static_cast<double>(targets_.size() - ignored);
    fill_zero(model_.params().grads());
    Arena arena("activations");
    arena.poison(true);
    Activations kept(arena, model_.recompute());
    const View h = model_.forward(ex, input(), kept);
    const View dh = arena.allocate("d hidden", h.shape());
    const double loss = model_.head().loss_and_grad(ex, model_.params(), dh, h, targets(), scale);
    model_.backward(ex, dh, input(), kept);
    return loss;
  }

  H5File file_;
  Model model_;
  Tensor tokens_, targets_, positions_;
  TestExec test_;
};

TEST_P(Golden, TheSequenceIsLongerThanTwoWindows) {
  for (const AnySpan& span : layer_spans(model_.config())) {
    if (span.is_full()) continue;
    EXPECT_GT(tokens_.shape()[1], 2 * (span.max_lookback(1 << 20) + 1));
  }
}

TEST_P(Golden, LogitsAgree) {
  const Exec ex = test_;
  const Tensor want = read("logits");
  Tensor got({tokens_.size(), model_.config().vocab});
  model_.head().logits(ex, model_.params(), got, model_.infer(ex, input()));
  EXPECT_EQ(differs(got.view().reshape(want.shape()), want, kModel), "");
}

TEST_P(Golden, LossAndEveryGradientAgree) {
  const double want = read("loss").data<double>()[0];
  EXPECT_NEAR(loss_and_grad(test_), want, 1e-5 * want);
  for (const auto& [name, grad] : model_.params().named(model_.params().grads())) {
    EXPECT_EQ(differs(grad, read("grad/" + name), kModel), "") << name;
  }
}

TEST_P(Golden, TenOptimiserStepsAgree) {
  const Tensor want = read("adamw/losses");
  Optimizer optimizer({{0, model_.params().weights().size()}},
                      {number("beta1"), number("beta2"), number("eps"), number("weight_decay")});
  for (std::int64_t t = 1; t <= want.size(); ++t) {
    const double loss = loss_and_grad(test_);
    const double wanted = want.data<double>()[t - 1];
    EXPECT_NEAR(loss, wanted, 1e-5 * wanted) << "step " << t;
    optimizer.update(test_, model_.params(), {number("lr"), 0, 0, t});
  }
  EXPECT_LT(want.data<double>()[want.size() - 1], 0.99 * want.data<double>()[0]);
}

INSTANTIATE_TEST_SUITE_P(HuggingFace, Golden, testing::Values("gpt_neo_a", "gpt_neo_b", "gpt2"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace mixspan
