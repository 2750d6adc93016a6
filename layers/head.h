// The end of the model: final norm, logits by the embedding table (tied), loss. The logits of all
// tokens never exist at once.
#pragma once

#include "core/exec.h"
#include "layers/model_config.h"
#include "layers/norm.h"
#include "layers/params.h"

namespace mixspan {

class Head {
 public:
  /// Declares ln_f.weight and ln_f.bias (C); shares the embedding table `wte` (V, C).
  Head(const ModelConfig&, ParamId wte, ParamList&);

  /// h: (R, C), what the last block left. targets: (R) i32, kIgnoreTarget where there is none.
  /// Overwrites dh (R, C) with scale * the gradient of the summed loss, adds parameter gradients,
  /// returns scale * the summed loss.
  double loss_and_grad(const Exec&, const Params&, View dh, ConstView h, ConstView targets,
                       double scale) const;
  /// losses: (R) f32, natural log, 0 where there is no target. correct: (R) u8, 1 where the target
  /// is the likeliest token. Overwrites both.
  void evaluate(const Exec&, const Params&, View losses, View correct, ConstView h,
                ConstView targets) const;
  /// logits: (R, V). Overwrites.
  void logits(const Exec&, const Params&, View logits, ConstView h) const;

 private:
  Norm ln_f_;
  ParamId wte_;
};

}  // namespace mixspan
