#include "layers/mlp.h"

#include "kernels/gelu.h"
#include "kernels/matmul.h"

namespace mixspan {

Mlp::Mlp(const std::string& prefix, std::int64_t C, std::int64_t F, double init_std,
         double proj_std, ParamList& list)
    : mlp_width_(F) {
  fc_weight_ = list.add({prefix + ".fc.weight", {F, C}, Init::normal, init_std, true});
  fc_bias_ = list.add({prefix + ".fc.bias", {F}});
  proj_weight_ = list.add({prefix + ".proj.weight", {C, F}, Init::normal, proj_std, true});
  proj_bias_ = list.add({prefix + ".proj.bias", {C}});
}

void Mlp::forward(const Exec& ex, const Params& p, View y, ConstView x, ConstView residual,
                  Saved& saved) const {
  const Shape inner{x.dim(0), mlp_width_};
  const View pre = saved.make(ex, "mlp pre", inner);
  const View act = saved.make(ex, "mlp act", inner, Rebuild::cheap);
  linear_gelu_forward(ex, act, pre, x, p.weight(fc_weight_), p.weight(fc_bias_));
  linear_residual_forward(ex, y, act, p.weight(proj_weight_), p.weight(proj_bias_), residual);
}

void Mlp::backward(const Exec& ex, const Params& p, View dx, ConstView dy, ConstView x,
                   const Saved& saved) const {
  const Arena::Scope scope(ex.scratch);
  const View pre = saved.get("mlp pre");
  View act;
  if (saved.has("mlp act")) {
    act = saved.get("mlp act");
  } else {
    act = ex.scratch.allocate("mlp act", pre.shape());
    gelu_forward(ex, act, pre);
  }
  const View d_inner = ex.scratch.allocate("d mlp", pre.shape());
  linear_backward(ex, d_inner, p.grad(proj_weight_), p.grad(proj_bias_), dy, act,
                  p.weight(proj_weight_));
  gelu_backward(ex, d_inner, d_inner, pre);
  linear_backward(ex, dx, p.grad(fc_weight_), p.grad(fc_bias_), d_inner, x, p.weight(fc_weight_));
}

}  // namespace mixspan
