#include <cmath>
#include <numbers>

#include "kernels/gelu.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

namespace {
const double kInner = std::sqrt(2 / std::numbers::pi);
constexpr double kCubic = 0.044715;
}  // namespace

void gelu_forward(View y, ConstView x) {
  std::vector<double> values = read_values(x);
  for (double& v : values) v = 0.5 * v * (1 + std::tanh(kInner * (v + kCubic * v * v * v)));
  write_values(y, values);
}

void gelu_backward(View dx, ConstView dy, ConstView x) {
  std::vector<double> values = read_values(x);
  const std::vector<double> upstream = read_values(dy);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i];
    const double t = std::tanh(kInner * (v + kCubic * v * v * v));
    const double slope = kInner * (1 + 3 * kCubic * v * v);  // d(argument of tanh)/dv
    values[i] = upstream[i] * (0.5 * (1 + t) + 0.5 * v * (1 - t * t) * slope);
  }
  write_values(dx, values);
}

}  // namespace mixspan::oracle
