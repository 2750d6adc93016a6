#include "experiments/run/optimizer.h"

#include <algorithm>

#include "kernels/adamw.h"

namespace mixspan {

Optimizer::Optimizer(std::vector<Range> owned, const Options& options) : options_(options) {
  std::int64_t size = 0;
  for (const Range& range : owned) {
    parts_.push_back({range, size});
    size += range.size();
  }
  m_ = Tensor({size});
  v_ = Tensor({size});
}

void Optimizer::update(const Exec& ex, Params& p, const Update& u) {
  AdamWStep step{u.lr, options_.beta1, options_.beta2, options_.eps, 0, u.t};
  if (u.max_grad_norm > 0 && u.grad_norm > u.max_grad_norm) {
    step.grad_scale = u.max_grad_norm / u.grad_norm;
  }
  const std::vector<Params::DecayRange> rules = p.decay_ranges();
  for (const Part& part : parts_) {
    for (const auto& [begin, end, decay] : rules) {
      const Range r = intersection(part.flat, {begin, end});
      if (r.empty()) continue;
      step.weight_decay = decay ? options_.weight_decay : 0;
      const std::int64_t at = part.at + r.begin - part.flat.begin;
      adamw(ex, p.weights().slice(0, r.begin, r.end), m_.view().slice(0, at, at + r.size()),
            v_.view().slice(0, at, at + r.size()), p.grads().slice(0, r.begin, r.end), step);
    }
  }
}

void Optimizer::copy_out(Moment which, View flat) const {
  const Tensor& moment = which == Moment::first ? m_ : v_;
  for (const Part& part : parts_) {
    std::copy_n(moment.data<float>() + part.at, part.flat.size(),
                flat.data<float>() + part.flat.begin);
  }
}

void Optimizer::copy_in(Moment which, ConstView flat) {
  Tensor& moment = which == Moment::first ? m_ : v_;
  for (const Part& part : parts_) {
    std::copy_n(flat.data<float>() + part.flat.begin, part.flat.size(),
                moment.data<float>() + part.at);
  }
}

}  // namespace mixspan
