// The feed-forward half of a block: y = residual + gelu(x Wf^T + bf) Wp^T + bp.
#pragma once

#include <string>

#include "core/exec.h"
#include "layers/model_parallel.h"
#include "layers/params.h"
#include "layers/saved.h"

namespace mixspan {

/// What lies between the two matrices is read by products and by GELU alone: where products round
/// to bf16, no more than that is kept of it, on a CPU too.
inline DType mlp_inner_dtype(Precision precision) {
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

class Mlp {
 public:
  /// Declares PREFIX.fc.weight (F, C), PREFIX.fc.bias, PREFIX.proj.weight (C, F), PREFIX.proj.bias.
  /// The columns of fc and the rows of proj are divided among the tp ranks.
  Mlp(const std::string& prefix, LayerPlace, std::int64_t width, std::int64_t mlp_width,
      double init_std, double proj_std, ParamList&);

  /// x, residual, y: (mine, C), this rank's of the R rows. Overwrites y, which may be the residual
  /// itself.
  void forward(const Exec&, const Params&, View y, ConstView x, ConstView residual, std::int64_t R,
               Saved&) const;
  /// The half of forward that backward needs the results of: gelu(x Wf^T + bf), (R, F / tp). Where
  /// `saved` does not keep it, it lies in scratch memory until the caller's scope ends.
  View expand(const Exec&, const Params&, ConstView x, std::int64_t R, Saved&) const;
  /// Overwrites dx; adds parameter gradients. Uses up what forward kept, so it runs once.
  void backward(const Exec&, const Params&, View dx, ConstView dy, ConstView x, std::int64_t R,
                const Saved&) const;

 private:
  LayerPlace place_;
  ParamId fc_weight_, fc_bias_, proj_weight_, proj_bias_;
};

}  // namespace mixspan
