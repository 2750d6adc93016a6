// AdamW over a model's flat buffers, weight decay on matrices only.
#pragma once

#include "core/exec.h"
#include "layers/params.h"

namespace mixspan {

class Optimizer {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  };
  /// Moments start at zero.
  Optimizer(const Params&, const Options&);

  struct Update {
    double lr;
    double max_grad_norm;  ///< gradients are scaled down to this norm; 0: never
    double grad_norm;      ///< the norm of the gradients as they are
    std::int64_t t;        ///< 1 at the first update
  };
  /// Overwrites the weights and moments; leaves the gradients as they are.
  void update(const Exec&, Params&, const Update&);

  View m() { return m_.view(); }
  View v() { return v_.view(); }

 private:
  Options options_;
  Tensor m_, v_;
};

}  // namespace mixspan
