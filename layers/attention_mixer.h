// Multi-head causal attention whose queries read the keys of a span.
#pragma once

#include <string>

#include "layers/context_attention.h"
#include "layers/mixer.h"
#include "layers/model_parallel.h"

namespace mixspan {

class AttentionMixer final : public Mixer {
 public:
  struct Options {
    LayerPlace place;
    std::int64_t width, heads;
    AnySpan span;
    float scale;  ///< multiplies the scores: 1/sqrt(head size), or GPT-Neo's 1
    bool qkv_bias;
    double init_std, out_std;
  };
  /// Declares PREFIX.qkv.weight (3C, C; rows q, k, v), [PREFIX.qkv.bias], PREFIX.out.weight (C, C),
  /// PREFIX.out.bias. The heads are divided among the tp ranks.
  AttentionMixer(const std::string& prefix, const Options&, ParamList&);

  void forward(const Exec&, const Params&, View y, ConstView x, ConstView residual, const Sequence&,
               Saved&) const override;
  void backward(const Exec&, const Params&, View dx, ConstView dy, ConstView x, const Sequence&,
                const Saved&) const override;
  double mixing_flops(std::int64_t T) const override;
  std::unique_ptr<MixerState> make_state(const Exec&, std::int64_t B,
                                         std::int64_t capacity) const override;
  void extend(const Exec&, const Params&, View y, ConstView x, ConstView residual, const Sequence&,
              std::int64_t begin, MixerState&) const override;

 private:
  ContextAttention context(const Exec&, const Sequence&) const;
  const TensorParallel& tp() const { return options_.place.parallel->tp; }
  std::int64_t held_heads() const { return options_.heads / tp().part().count; }
  std::int64_t held_width() const { return options_.width / tp().part().count; }

  Options options_;
  ParamId qkv_weight_, qkv_bias_, out_weight_, out_bias_;
};

}  // namespace mixspan
