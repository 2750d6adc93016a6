#include "kernels/oracle_values.h"
#include "kernels/reduce.h"

namespace mixspan::oracle {

double sum_of_squares(ConstView x) {
  double total = 0;
  for (const double v : read_values(x)) total += v * v;
  return total;
}

double sum(ConstView x) {
  double total = 0;
  for (const double v : read_values(x)) total += v;
  return total;
}

void add_into(View y, ConstView x) {
  std::vector<double> values = read_values(y);
  const std::vector<double> xs = read_values(x);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += xs[i];
  write_values(y, values);
}

}  // namespace mixspan::oracle
