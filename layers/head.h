// The end of the model: final norm, logits by the embedding table (tied), loss. The logits of all
// tokens never exist at once, and each tp rank has those of its part of the vocabulary.
#pragma once

#include "core/exec.h"
#include "layers/model_config.h"
#include "layers/model_parallel.h"
#include "layers/norm.h"
#include "layers/params.h"

namespace mixspan {

/// Rows whose logits exist at a time: enough of them for full-speed matrix products, few enough
/// that the logits stay small beside the activations.
std::int64_t logits_rows(std::int64_t rows, std::int64_t vocab,
                         DeviceKind device = DeviceKind::cpu);

/// How far apart the rows of these logits lie, in elements. On a device each begins at a multiple
/// of 16 bytes, without which cuBLASLt takes slow kernels, or has none: GPT-2's 50257 tokens, say.
/// On a CPU row_stride().
std::int64_t logits_stride(std::int64_t vocab, DeviceKind device = DeviceKind::cpu);

class Head {
 public:
  /// Declares ln_f.weight and ln_f.bias (C); shares the embedding table `wte` (V, C), of which each
  /// tp rank holds some tokens.
  Head(const ModelConfig&, const ModelParallel&, ParamId wte, ParamList&);

  /// h: (mine, C), what the last block left of this rank's of the R rows. targets: (R) i32,
  /// kIgnoreTarget where there is none. Overwrites losses (R) f32, as evaluate() does, and dh
  /// (mine, C) with scale * the gradient of their sum; adds parameter gradients. dh may be h.
  void losses_and_grad(const Exec&, const Params&, View losses, View dh, ConstView h,
                       ConstView targets, double scale) const;
  /// The same; returns scale * the sum of the losses, for which the host waits.
  double loss_and_grad(const Exec&, const Params&, View dh, ConstView h, ConstView targets,
                       double scale) const;
  /// losses: (R) f32, natural log, 0 where there is no target. correct: (R) u8, 1 where the target
  /// is the likeliest token. Overwrites both.
  void evaluate(const Exec&, const Params&, View losses, View correct, ConstView h,
                ConstView targets) const;
  /// logits: (R, V). Overwrites. On one tp rank only.
  void logits(const Exec&, const Params&, View logits, ConstView h) const;

 private:
  std::int64_t chunk_rows(const Exec&, std::int64_t R) const;
  void loss_of_chunk(const Exec&, View losses, View logits, ConstView targets, double scale) const;
  void evaluate_chunk(const Exec&, View losses, View correct, View logits, ConstView targets) const;

  std::int64_t vocab_;
  const ModelParallel& parallel_;
  Norm ln_f_;
  ParamId wte_;
};

}  // namespace mixspan
