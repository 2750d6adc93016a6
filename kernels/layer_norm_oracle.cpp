#include <cmath>

#include "kernels/layer_norm.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

void layer_norm_forward(View y, View mean, View rstd, ConstView x, ConstView gain, ConstView bias,
                        double eps) {
  const auto rows = static_cast<std::size_t>(x.dim(0)), C = static_cast<std::size_t>(x.dim(1));
  std::vector<double> values = read_values(x), means(rows), rstds(rows);
  const std::vector<double> g = read_values(gain), b = read_values(bias);
  for (std::size_t r = 0; r < rows; ++r) {
    double* row = &values[r * C];
    double sum = 0, squares = 0;
    for (std::size_t c = 0; c < C; ++c) sum += row[c];
    const double m = sum / static_cast<double>(C);
    for (std::size_t c = 0; c < C; ++c) squares += (row[c] - m) * (row[c] - m);
    const double s = 1 / std::sqrt(squares / static_cast<double>(C) + eps);
    for (std::size_t c = 0; c < C; ++c) row[c] = (row[c] - m) * s * g[c] + b[c];
    means[r] = m;
    rstds[r] = s;
  }
  write_values(y, values);
  write_values(mean, means);
  write_values(rstd, rstds);
}

void layer_norm_backward(View dx, View dgain, View dbias, ConstView dy, ConstView x, ConstView gain,
                         ConstView mean, ConstView rstd, DxMode mode) {
  const auto rows = static_cast<std::size_t>(x.dim(0)), C = static_cast<std::size_t>(x.dim(1));
  const std::vector<double> xs = read_values(x), dys = read_values(dy), g = read_values(gain);
  const std::vector<double> means = read_values(mean), rstds = read_values(rstd);
  std::vector<double> dgains = read_values(dgain), dbiases = read_values(dbias);
  std::vector<double> dxs(rows * C);
  if (mode == DxMode::add) dxs = read_values(dx);
  for (std::size_t r = 0; r < rows; ++r) {
    const double* up = &dys[r * C];
    std::vector<double> normal(C);
    double sum = 0, sum_normal = 0;  // of gain dy, and of gain dy normal
    for (std::size_t c = 0; c < C; ++c) {
      normal[c] = (xs[r * C + c] - means[r]) * rstds[r];
      sum += g[c] * up[c];
      sum_normal += g[c] * up[c] * normal[c];
      dgains[c] += up[c] * normal[c];
      dbiases[c] += up[c];
    }
    const auto n = static_cast<double>(C);
    for (std::size_t c = 0; c < C; ++c) {
      dxs[r * C + c] += rstds[r] * (g[c] * up[c] - sum / n - normal[c] * sum_normal / n);
    }
  }
  write_values(dx, dxs);
  write_values(dgain, dgains);
  write_values(dbias, dbiases);
}

}  // namespace mixspan::oracle
