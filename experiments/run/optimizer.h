// AdamW over a model's flat buffers, weight decay on matrices only.
#pragma once

#include <vector>

#include "core/exec.h"
#include "layers/params.h"

namespace mixspan {

class Optimizer {
 public:
  struct Options {
    double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  };
  /// Updates, and has moments for, the parts `owned` of the flat buffers, by rising position.
  /// Moments start at zero, on the device where the parameters are.
  Optimizer(std::vector<Range> owned, const Options&, Device device = {});

  struct Update {
    double lr;
    double max_grad_norm;  ///< gradients are scaled down to this norm; 0: never
    double grad_norm;      ///< the norm of the gradients as they are
    std::int64_t t;        ///< 1 at the first update
  };
  /// Overwrites the owned weights, their copies and moments; leaves the gradients as they are.
  void update(const Exec&, Params&, const Update&);

  enum class Moment { first, second };
  /// Copies a moment into, or out of, host memory of the flat buffers' layout: the owned parts.
  void copy_out(const Exec&, Moment, View flat) const;
  void copy_in(const Exec&, Moment, ConstView flat);
  /// A moment of the owned parts, one behind the other, where the parameters are.
  View moment(Moment which) const { return (which == Moment::first ? m_ : v_).view(); }

 private:
  struct Part {
    Range flat;
    std::int64_t at;  // in the moments
  };
  Options options_;
  std::vector<Part> parts_;
  mutable Tensor m_, v_;  // the owned parts, one behind the other
};

}  // namespace mixspan
