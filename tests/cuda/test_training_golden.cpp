// The model on a device against Hugging Face's, in fp32: logits, loss, every gradient, the losses
// of AdamW steps. The files were made by tests/golden/model/make_golden.py.
#include <algorithm>
#include <optional>

#include "core/h5.h"
#include "core/targets.h"
#include "experiments/run/optimizer.h"
#include "layers/model.h"
#include "tests/cuda/device_test.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

class GoldenOnDevice : public DeviceTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!has_device()) return;
    file_.emplace(
        H5File::open(std::string(MIXSPAN_SOURCE_DIR "/tests/golden/model/") + GetParam() + ".h5"));
    model_.emplace(config(), Params::Gradients::yes, ModelParallel{}, ParamStorage::of(exec()));
    Params& params = model_->params();
    for (std::size_t p = 0; p < params.specs().size(); ++p) {
      params.write(exec(), static_cast<ParamId>(p), read("param/" + params.specs()[p].name));
    }
    const Tensor tokens = read("tokens"), targets = read("targets");
    Tensor positions(tokens.shape(), DType::i32);
    const std::int64_t T = tokens.shape()[1];
    for (std::int64_t i = 0; i < tokens.size(); ++i) {
      positions.data<std::int32_t>()[i] = static_cast<std::int32_t>(i % T);
    }
    const std::int32_t* t = targets.data<std::int32_t>();
    count_ = targets.size() - std::count(t, t + targets.size(), kIgnoreTarget);
    tokens_ = upload(tokens);
    positions_ = upload(positions);
    targets_ = upload(targets.view().reshape({targets.size()}));
  }

  ModelConfig config() const {
    ModelConfig c;
    c.layers = file_->int_attribute("layers");
    c.width = file_->int_attribute("width");
    c.heads = file_->int_attribute("heads");
    c.mlp_width = file_->int_attribute("mlp_width");
    c.context = file_->int_attribute("context");
    c.vocab = file_->int_attribute("vocab");
    c.qkv_bias = file_->int_attribute("qkv_bias") != 0;
    c.attention_scale = file_->text_attribute("attention_scale");
    c.layer_norm_eps = number("layer_norm_eps");
    std::string spans = file_->text_attribute("spans") + ",";
    for (std::size_t comma; (comma = spans.find(',')) != std::string::npos;) {
      c.spans.push_back(spans.substr(0, comma));
      spans.erase(0, comma + 1);
    }
    return c;
  }
  double number(const std::string& name) const { return std::stod(file_->text_attribute(name)); }
  Tensor read(const std::string& name) const {
    Tensor t(file_->shape(name), file_->dtype(name));
    file_->read(name, t);
    return t;
  }
  ModelInput input() const { return {tokens_, positions_, {}}; }

  // The mean loss; adds its gradients to zeroed ones.
  double loss_and_grad() {
    const Exec ex = exec();
    fill_zero(ex, model_->params().grads());
    Arena arena("activations", device());
    arena.poison(true, ex.stream);
    Activations kept(arena, model_->recompute());
    const View h = model_->forward(ex, input(), kept);
    const double loss = model_->head().loss_and_grad(ex, model_->params(), h, h, targets_,
                                                     1.0 / static_cast<double>(count_));
    model_->backward(ex, h, input(), kept);
    synchronise(ex.stream);  // before the arena goes
    return loss;
  }

  std::optional<H5File> file_;
  std::optional<Model> model_;
  Tensor tokens_, positions_, targets_;
  std::int64_t count_ = 0;
};

TEST_P(GoldenOnDevice, LogitsAgree) {
  const Exec ex = exec();
  const Tensor want = read("logits");
  Tensor got = poisoned({tokens_.size(), model_->config().vocab});
  const Arena::Scope scope(ex.scratch);
  model_->head().logits(ex, model_->params(), got, model_->infer(ex, input()));
  EXPECT_EQ(differs(download(got).view().reshape(want.shape()), want, kModel), "");
}

TEST_P(GoldenOnDevice, LossAndEveryGradientAgreeSlow) {
  const double want = read("loss").data<double>()[0];
  EXPECT_NEAR(loss_and_grad(), want, 1e-5 * want);
  const Params& params = model_->params();
  for (std::size_t p = 0; p < params.specs().size(); ++p) {
    const std::string& name = params.specs()[p].name;
    EXPECT_EQ(differs(download(params.grad(static_cast<ParamId>(p))), read("grad/" + name), kModel),
              "")
        << name;
  }
}

TEST_P(GoldenOnDevice, OptimiserStepsAgreeSlow) {
  const Tensor want = read("adamw/losses");
  Optimizer optimizer({{0, model_->params().weights().size()}},
                      {number("beta1"), number("beta2"), number("eps"), number("weight_decay")},
                      device());
  // An emulated device takes a second for each.
  const std::int64_t steps = emulated() ? 2 : want.size();
  for (std::int64_t t = 1; t <= steps; ++t) {
    const double wanted = want.data<double>()[t - 1];
    EXPECT_NEAR(loss_and_grad(), wanted, 1e-5 * wanted) << "step " << t;
    optimizer.update(exec(), model_->params(), {number("lr"), 0, 0, t});
  }
}

INSTANTIATE_TEST_SUITE_P(HuggingFace, GoldenOnDevice,
                         testing::Values("gpt_neo_a", "gpt_neo_b", "gpt2"),
                         [](const auto& each) { return std::string(each.param); });

}  // namespace
}  // namespace mixspan::test
