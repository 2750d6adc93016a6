#include "layers/mlp.h"

#include "kernels/matmul.h"

namespace mixspan {

namespace {

// Oracles have all views of one type.
DType inner_dtype(const Exec& ex) { return ex.oracle ? DType::f32 : mlp_inner_dtype(ex.precision); }

}  // namespace

Mlp::Mlp(const std::string& prefix, LayerPlace place, std::int64_t C, std::int64_t F,
         double init_std, double proj_std, ParamList& list)
    : place_(place) {
  const ParamSplit by_row{0}, by_column{1};
  fc_weight_ = list.add({prefix + ".fc.weight", {F, C}, Init::normal, init_std, true, by_row});
  fc_bias_ = list.add({prefix + ".fc.bias", {F}, Init::zeros, 0, false, by_row});
  proj_weight_ =
      list.add({prefix + ".proj.weight", {C, F}, Init::normal, proj_std, true, by_column});
  proj_bias_ = list.add({prefix + ".proj.bias", {C}});
}

View Mlp::expand(const Exec& ex, const Params& p, ConstView x, std::int64_t R, Saved& saved) const {
  const TensorParallel& tp = place_.parallel->tp;
  const std::int64_t F = p.weight(fc_bias_).size();
  const View pre = saved.make_rows(ex, "mlp pre", R, F, inner_dtype(ex));
  const View act = saved.make_rows(ex, "mlp act", R, F, inner_dtype(ex), Rebuild::cheap);
  const Arena::Scope scope(ex.scratch);
  linear_gelu_forward(ex, act, pre, tp.gather(ex, {"mlp in", place_.layer}, x, R),
                      p.weight(fc_weight_), p.weight(fc_bias_));
  return act;
}

void Mlp::forward(const Exec& ex, const Params& p, View y, ConstView x, ConstView residual,
                  std::int64_t R, Saved& saved) const {
  const View act = expand(ex, p, x, R, saved);
  const Arena::Scope scope(ex.scratch);
  leave_forward(ex, place_.parallel->tp, {"mlp out", place_.layer}, y, act, p.weight(proj_weight_),
                p.weight(proj_bias_), residual);
}

void Mlp::backward(const Exec& ex, const Params& p, View dx, ConstView dy, ConstView x,
                   std::int64_t R, const Saved& saved) const {
  const Arena::Scope scope(ex.scratch);
  const TensorParallel& tp = place_.parallel->tp;
  const View pre = saved.get("mlp pre");
  const View d_inner =
      ex.scratch.allocate("d mlp", {R, pre.stride(0)}, pre.dtype()).slice(1, 0, pre.dim(1));
  const ConstView all_dy = tp.gather(ex, {"d mlp out", place_.layer}, dy, R);
  // Nothing reads `pre` after that, so what its GELU was takes its place and no memory of its own.
  const bool kept = saved.has("mlp act");
  const View act = kept ? saved.get("mlp act") : pre;
  linear_gelu_input_gradient(ex, d_inner, kept ? View() : act, all_dy, p.weight(proj_weight_), pre);
  linear_backward(ex, {}, p.grad(proj_weight_), p.grad(proj_bias_), all_dy, act,
                  p.weight(proj_weight_));
  const View dx_partial = tp.partial(ex, dx, R);
  linear_backward(ex, dx_partial, p.grad(fc_weight_), p.grad(fc_bias_), d_inner,
                  tp.gather(ex, {"mlp in again", place_.layer}, x, R), p.weight(fc_weight_));
  tp.reduce(ex, {"d mlp in", place_.layer}, dx, dx_partial);
}

}  // namespace mixspan
