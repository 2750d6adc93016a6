#include <algorithm>
#include <cmath>

#include "kernels/cross_entropy.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

namespace {
// Overwrites `values` (rows, V) with scale * (softmax - onehot) and returns the losses.
std::vector<double> losses_and_gradients(std::vector<double>& values, const ConstView& targets,
                                         double scale) {
  const auto rows = static_cast<std::size_t>(targets.dim(0));
  const std::size_t V = rows == 0 ? 0 : values.size() / rows;
  std::vector<double> losses(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    double* row = &values[r * V];
    const std::int32_t target = targets.data<std::int32_t>()[r];
    if (target == kIgnoreTarget) {
      std::fill(row, row + V, 0.0);
      continue;
    }
    check(target >= 0 && static_cast<std::size_t>(target) < V,
          "cross_entropy: target {} of row {} is outside [0, {})", target, r, V);
    const double max = *std::max_element(row, row + V);
    const double at_target = row[target];
    double sum = 0;
    for (std::size_t v = 0; v < V; ++v) sum += std::exp(row[v] - max);
    losses[r] = max + std::log(sum) - at_target;
    for (std::size_t v = 0; v < V; ++v) row[v] = scale * std::exp(row[v] - max) / sum;
    row[target] -= scale;
  }
  return losses;
}
}  // namespace

void cross_entropy_forward(View losses, ConstView logits, ConstView targets) {
  std::vector<double> values = read_values(logits);
  write_values(losses, losses_and_gradients(values, targets, 1.0));
}

void cross_entropy_forward_backward(View losses, View logits, ConstView targets, double scale) {
  std::vector<double> values = read_values(logits);
  write_values(losses, losses_and_gradients(values, targets, scale));
  write_values(logits, values);
}

}  // namespace mixspan::oracle
