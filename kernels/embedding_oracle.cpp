#include "kernels/embedding.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

namespace {
std::size_t row_of(const ConstView& indices, std::size_t r, std::size_t table_rows) {
  const std::int32_t i = indices.data<std::int32_t>()[r];
  check(i >= 0 && static_cast<std::size_t>(i) < table_rows,
        "embedding: index {} of row {} is outside [0, {})", i, r, table_rows);
  return static_cast<std::size_t>(i);
}
}  // namespace

void embedding_forward(View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe) {
  const auto rows = static_cast<std::size_t>(x.dim(0)), C = static_cast<std::size_t>(x.dim(1));
  const std::vector<double> te = read_values(wte), pe = read_values(wpe);
  std::vector<double> values(rows * C);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t t = row_of(tokens, r, te.size() / C), p = row_of(positions, r, pe.size() / C);
    for (std::size_t c = 0; c < C; ++c) values[r * C + c] = te[t * C + c] + pe[p * C + c];
  }
  write_values(x, values);
}

void embedding_backward(View dwte, View dwpe, ConstView dx, ConstView tokens, ConstView positions) {
  const auto rows = static_cast<std::size_t>(dx.dim(0)), C = static_cast<std::size_t>(dx.dim(1));
  std::vector<double> te = read_values(dwte), pe = read_values(dwpe);
  const std::vector<double> values = read_values(dx);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t t = row_of(tokens, r, te.size() / C), p = row_of(positions, r, pe.size() / C);
    for (std::size_t c = 0; c < C; ++c) {
      te[t * C + c] += values[r * C + c];
      pe[p * C + c] += values[r * C + c];
    }
  }
  write_values(dwte, te);
  write_values(dwpe, pe);
}

}  // namespace mixspan::oracle
