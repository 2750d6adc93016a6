// Layer norm with learned gain and bias.
#pragma once

#include <string>

#include "core/exec.h"
#include "kernels/layer_norm.h"
#include "layers/params.h"
#include "layers/saved.h"

namespace mixspan {

class Norm {
 public:
  /// Declares PREFIX.weight (C) and PREFIX.bias (C).
  Norm(const std::string& prefix, std::int64_t width, double eps, ParamList&);

  /// The normalised x (R, C), kept under the name given at construction if the policy keeps it.
  View forward(const Exec&, const Params&, ConstView x, Saved&) const;
  /// The normalised x again: kept, or rebuilt in scratch from the kept mean and rstd's input.
  View output(const Exec&, const Params&, ConstView x, const Saved&) const;
  /// Adds into dx (where the residual's gradient is there already) or overwrites it, which may then
  /// be x; adds parameter gradients.
  void backward(const Exec&, const Params&, View dx, ConstView dy, ConstView x, const Saved&,
                DxMode) const;

 private:
  std::string out_, mean_, rstd_;  // names in Saved
  float eps_;
  ParamId gain_, bias_;
};

}  // namespace mixspan
