#include "kernels/gelu.h"
#include "kernels/matmul.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

namespace {

// (rows, cols) row-major -> (cols, rows).
std::vector<double> transposed(const std::vector<double>& m, std::size_t rows, std::size_t cols) {
  std::vector<double> t(m.size());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) t[j * rows + i] = m[i * cols + j];
  }
  return t;
}

std::vector<double> operand(const ConstView& v, bool transpose) {
  const std::vector<double> values = read_values(v);
  if (!transpose) return values;
  return transposed(values, static_cast<std::size_t>(v.dim(0)), static_cast<std::size_t>(v.dim(1)));
}

// c += bias, the same row for every row of c.
void add_rows(View c, const ConstView& bias) {
  if (bias.empty()) return;
  std::vector<double> values = read_values(c);
  const std::vector<double> b = read_values(bias);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += b[i % b.size()];
  write_values(c, values);
}

}  // namespace

void matmul(View c, Transpose op_a, ConstView a, Transpose op_b, ConstView b,
            Accumulate accumulate) {
  const auto M = static_cast<std::size_t>(c.dim(0)), N = static_cast<std::size_t>(c.dim(1));
  const auto K = static_cast<std::size_t>(a.dim(op_a == Transpose::yes ? 0 : 1));
  const std::vector<double> av = operand(a, op_a == Transpose::yes);  // (M, K)
  const std::vector<double> bt = operand(b, op_b == Transpose::no);   // (N, K)
  std::vector<double> cv(M * N);
  if (accumulate == Accumulate::add) cv = read_values(c);
  for (std::size_t i = 0; i < M; ++i) {
    for (std::size_t j = 0; j < N; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < K; ++k) sum += av[i * K + k] * bt[j * K + k];
      cv[i * N + j] += sum;
    }
  }
  write_values(c, cv);
}

void linear_forward(View y, ConstView x, ConstView w, ConstView bias) {
  matmul(y, Transpose::no, x, Transpose::yes, w, Accumulate::overwrite);
  add_rows(y, bias);
}

void linear_residual_forward(View y, ConstView x, ConstView w, ConstView bias, ConstView residual) {
  const std::vector<double> r = read_values(residual);  // first: y may be the residual
  linear_forward(y, x, w, bias);
  std::vector<double> values = read_values(y);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += r[i];
  write_values(y, values);
}

void linear_gelu_forward(View y, View pre, ConstView x, ConstView w, ConstView bias) {
  linear_forward(y, x, w, bias);
  if (!pre.empty()) write_values(pre, read_values(y));
  gelu_forward(y, y);
}

void linear_backward(View dx, View dw, View dbias, ConstView dy, ConstView x, ConstView w) {
  if (!dx.empty()) matmul(dx, Transpose::no, dy, Transpose::no, w, Accumulate::overwrite);
  matmul(dw, Transpose::yes, dy, Transpose::no, x, Accumulate::add);
  if (dbias.empty()) return;
  std::vector<double> sums = read_values(dbias);
  const std::vector<double> values = read_values(dy);
  for (std::size_t i = 0; i < values.size(); ++i) sums[i % sums.size()] += values[i];
  write_values(dbias, sums);
}

void linear_gelu_input_gradient(View dpre, View act, ConstView dy, ConstView w, ConstView pre) {
  matmul(dpre, Transpose::no, dy, Transpose::no, w, Accumulate::overwrite);
  gelu_backward(dpre, dpre, pre);
  if (!act.empty()) gelu_forward(act, pre);
}

}  // namespace mixspan::oracle
