#include "experiments/run/optimizer.h"

#include "kernels/adamw.h"

namespace mixspan {

namespace {
std::int64_t flat_size(const Params& p) { return p.decay_ranges().back().end; }
}  // namespace

Optimizer::Optimizer(const Params& p, const Options& options)
    : options_(options), m_({flat_size(p)}), v_({flat_size(p)}) {}

void Optimizer::update(const Exec& ex, Params& p, const Update& u) {
  AdamWStep step{u.lr, options_.beta1, options_.beta2, options_.eps, 0, u.t};
  if (u.max_grad_norm > 0 && u.grad_norm > u.max_grad_norm) {
    step.grad_scale = u.max_grad_norm / u.grad_norm;
  }
  for (const auto& [begin, end, decay] : p.decay_ranges()) {
    step.weight_decay = decay ? options_.weight_decay : 0;
    adamw(ex, p.weights().slice(0, begin, end), m().slice(0, begin, end), v().slice(0, begin, end),
          p.grads().slice(0, begin, end), step);
  }
}

}  // namespace mixspan
