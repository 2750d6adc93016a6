#include <cmath>

#include "kernels/adamw.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

void adamw(View w, View m, View v, ConstView g, const AdamWStep& step) {
  std::vector<double> ws = read_values(w), ms = read_values(m), vs = read_values(v);
  const std::vector<double> gs = read_values(g);
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.t));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.t));
  for (std::size_t i = 0; i < ws.size(); ++i) {
    const double gradient = gs[i] * step.grad_scale;
    ms[i] = step.beta1 * ms[i] + (1 - step.beta1) * gradient;
    vs[i] = step.beta2 * vs[i] + (1 - step.beta2) * gradient * gradient;
    const double update = ms[i] / correction1 / (std::sqrt(vs[i] / correction2) + step.eps);
    ws[i] -= step.lr * (update + step.weight_decay * ws[i]);
  }
  write_values(w, ws);
  write_values(m, ms);
  write_values(v, vs);
}

}  // namespace mixspan::oracle
