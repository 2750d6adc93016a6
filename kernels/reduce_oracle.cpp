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

}  // namespace mixspan::oracle
