#include "kernels/oracle_values.h"
#include "kernels/residual.h"

namespace mixspan::oracle {

void bias_residual(View y, ConstView x, ConstView bias, ConstView residual) {
  std::vector<double> values = read_values(x);
  const std::vector<double> b = read_values(bias), add = read_values(residual);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += b[i % b.size()] + add[i];
  write_values(y, values);
}

}  // namespace mixspan::oracle
