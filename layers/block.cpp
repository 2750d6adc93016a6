#include "layers/block.h"

#include <fmt/format.h>

#include <cmath>

#include "layers/attention_mixer.h"

namespace mixspan {

namespace {

// The two projections that end in the residual stream start smaller by the root of how many of them
// add up (Radford et al. 2019, section 2.3).
double residual_std(const ModelConfig& c) {
  return c.init_std / std::sqrt(2.0 * static_cast<double>(c.layers));
}

std::string name(LayerPlace place) { return fmt::format("h.{}", place.layer); }

std::unique_ptr<Mixer> make_mixer(const std::string& prefix, LayerPlace place, const ModelConfig& c,
                                  const AnySpan& span, ParamList& list) {
  const double scale =
      c.attention_scale == "one" ? 1.0 : 1.0 / std::sqrt(static_cast<double>(c.head_size()));
  return std::make_unique<AttentionMixer>(
      prefix,
      AttentionMixer::Options{place, c.width, c.heads, span, static_cast<float>(scale), c.qkv_bias,
                              c.init_std, residual_std(c)},
      list);
}

}  // namespace

Block::Block(LayerPlace place, const ModelConfig& c, const AnySpan& span, ParamList& list)
    : ln_1_(name(place) + ".ln_1", c.width, c.layer_norm_eps, list),
      mixer_(make_mixer(name(place) + ".attn", place, c, span, list)),
      ln_2_(name(place) + ".ln_2", c.width, c.layer_norm_eps, list),
      mlp_(name(place) + ".mlp", place, c.width, c.mlp(), c.init_std, residual_std(c), list) {}

void Block::forward(const Exec& ex, const Params& p, View y, ConstView x, const Sequence& s,
                    Saved& saved) const {
  const Arena::Scope scope(ex.scratch);
  const View x1 = saved.make(ex, "x1", x.shape());
  mixer_->forward(ex, p, x1, ln_1_.forward(ex, p, x, saved), x, s, saved);
  mlp_.forward(ex, p, y, ln_2_.forward(ex, p, x1, saved), x1, s.rows(), saved);
}

void Block::backward(const Exec& ex, const Params& p, View dx, ConstView x, const Sequence& s,
                     const Saved& saved) const {
  const Arena::Scope scope(ex.scratch);
  if (runs_again(saved.policy())) {
    Saved again(&ex.scratch, Recompute::none, &saved);
    // Without a scope of its own: what it keeps must outlive the call.
    const View x1 = again.make(ex, "x1", x.shape());
    mixer_->forward(ex, p, x1, ln_1_.forward(ex, p, x, again), x, s, again);
    mlp_.expand(ex, p, ln_2_.forward(ex, p, x1, again), s.rows(), again);
    backward(ex, p, dx, x, s, again);
    return;
  }
  const View d_branch = ex.scratch.allocate("d branch", x.shape(), x.dtype());
  const View x1 = saved.get("x1");
  {
    const Arena::Scope norm_scope(ex.scratch);
    mlp_.backward(ex, p, d_branch, dx, ln_2_.output(ex, p, x1, saved), s.rows(), saved);
  }
  ln_2_.backward(ex, p, dx, d_branch, x1, saved, DxMode::add);
  mixer_->backward(ex, p, d_branch, dx, ln_1_.output(ex, p, x, saved), s, saved);
  ln_1_.backward(ex, p, dx, d_branch, x, saved, DxMode::add);
}

void Block::extend(const Exec& ex, const Params& p, View x, const Sequence& s, std::int64_t begin,
                   MixerState& state) const {
  const Arena::Scope scope(ex.scratch);
  Saved nothing(nullptr, Recompute::full);
  mixer_->extend(ex, p, x, ln_1_.forward(ex, p, x, nothing), x, s, begin, state);
  mlp_.forward(ex, p, x, ln_2_.forward(ex, p, x, nothing), x, s.rows(), nothing);
}

}  // namespace mixspan
