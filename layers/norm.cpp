#include "layers/norm.h"

namespace mixspan {

Norm::Norm(const std::string& prefix, std::int64_t C, double eps, ParamList& list)
    : eps_(static_cast<float>(eps)) {
  const std::string short_name = prefix.substr(prefix.rfind('.') + 1);
  out_ = short_name + " out";
  mean_ = short_name + " mean";
  rstd_ = short_name + " rstd";
  gain_ = list.add({prefix + ".weight", {C}, Init::ones, 0, false, {}, true});
  bias_ = list.add({prefix + ".bias", {C}, Init::zeros, 0, false, {}, true});
}

View Norm::forward(const Exec& ex, const Params& p, ConstView x, Saved& saved) const {
  const View y = saved.make(ex, out_, x.shape(), Rebuild::cheap);
  const View mean = saved.make_as(ex, mean_, {x.dim(0)}, DType::f32);
  const View rstd = saved.make_as(ex, rstd_, {x.dim(0)}, DType::f32);
  layer_norm_forward(ex, y, mean, rstd, x, p.weight(gain_), p.weight(bias_), eps_);
  return y;
}

View Norm::output(const Exec& ex, const Params& p, ConstView x, const Saved& saved) const {
  if (saved.has(out_)) return saved.get(out_);
  const View y = ex.scratch.allocate(out_, x.shape(), x.dtype());
  const View mean = ex.scratch.allocate(mean_, {x.dim(0)});
  const View rstd = ex.scratch.allocate(rstd_, {x.dim(0)});
  layer_norm_forward(ex, y, mean, rstd, x, p.weight(gain_), p.weight(bias_), eps_);
  return y;
}

void Norm::backward(const Exec& ex, const Params& p, View dx, ConstView dy, ConstView x,
                    const Saved& saved, DxMode mode) const {
  layer_norm_backward(ex, dx, p.grad(gain_), p.grad(bias_), dy, x, p.weight(gain_),
                      saved.get(mean_), saved.get(rstd_), mode);
}

}  // namespace mixspan
