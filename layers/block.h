// One pre-norm layer of the decoder (GPT-2 and GPT-Neo):
//   x1 = x + mixer(ln_1(x));  y = x1 + mlp(ln_2(x1))
#pragma once

#include <memory>
#include <string>

#include "layers/mixer.h"
#include "layers/mlp.h"
#include "layers/norm.h"

namespace mixspan {

class Block {
 public:
  Block(LayerPlace, const ModelConfig&, const AnySpan& span, ParamList&);

  /// x, y: (mine, C), this rank's of the R rows. Overwrites y, which may be x when nothing is kept
  /// (policy full) and no backward follows.
  void forward(const Exec&, const Params&, View y, ConstView x, const Sequence&, Saved&) const;
  /// On entry dx holds the gradient of y, on return that of x. Parameter gradients are added. Uses
  /// up what forward kept, so it runs once.
  void backward(const Exec&, const Params&, View dx, ConstView x, const Sequence&,
                const Saved&) const;

  std::unique_ptr<MixerState> make_state(const Exec& ex, std::int64_t B,
                                         std::int64_t capacity) const {
    return mixer_->make_state(ex, B, capacity);
  }
  /// Overwrites x (R, C) with the block's output for further tokens of texts being generated.
  void extend(const Exec&, const Params&, View x, const Sequence&, std::int64_t begin,
              MixerState&) const;

  const Mixer& mixer() const { return *mixer_; }

 private:
  Norm ln_1_;
  std::unique_ptr<Mixer> mixer_;
  Norm ln_2_;
  Mlp mlp_;
};

}  // namespace mixspan
