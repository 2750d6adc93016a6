#include "experiments/run/optimizer.h"

#include "core/copy.h"
#include "kernels/adamw.h"

namespace mixspan {

Optimizer::Optimizer(std::vector<Range> owned, const Options& options, Device device)
    : options_(options) {
  std::int64_t size = 0;
  for (const Range& range : owned) {
    parts_.push_back({range, size});
    size += range.size();
  }
  m_ = Tensor({size}, DType::f32, device);
  v_ = Tensor({size}, DType::f32, device);
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
            v_.view().slice(0, at, at + r.size()), p.grads().slice(0, r.begin, r.end), step,
            p.copies().empty() ? View() : p.copies().slice(0, r.begin, r.end));
    }
  }
}

void Optimizer::copy_out(const Exec& ex, Moment which, View flat) const {
  for (const Part& part : parts_) {
    copy(ex, flat.slice(0, part.flat.begin, part.flat.end),
         moment(which).slice(0, part.at, part.at + part.flat.size()));
  }
}

void Optimizer::copy_in(const Exec& ex, Moment which, ConstView flat) {
  for (const Part& part : parts_) {
    copy(ex, moment(which).slice(0, part.at, part.at + part.flat.size()),
         flat.slice(0, part.flat.begin, part.flat.end));
  }
}

}  // namespace mixspan
