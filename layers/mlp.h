// The feed-forward half of a block: y = residual + gelu(x Wf^T + bf) Wp^T + bp.
#pragma once

#include <string>

#include "core/exec.h"
#include "layers/params.h"
#include "layers/saved.h"

namespace mixspan {

class Mlp {
 public:
  /// Declares PREFIX.fc.weight (F, C), PREFIX.fc.bias, PREFIX.proj.weight (C, F), PREFIX.proj.bias.
  Mlp(const std::string& prefix, std::int64_t width, std::int64_t mlp_width, double init_std,
      double proj_std, ParamList&);

  /// x, residual, y: (R, C). Overwrites y, which may be the residual itself.
  void forward(const Exec&, const Params&, View y, ConstView x, ConstView residual, Saved&) const;
  /// Overwrites dx; adds parameter gradients.
  void backward(const Exec&, const Params&, View dx, ConstView dy, ConstView x, const Saved&) const;

 private:
  std::int64_t mlp_width_;
  ParamId fc_weight_, fc_bias_, proj_weight_, proj_bias_;
};

}  // namespace mixspan
