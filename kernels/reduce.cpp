#include "kernels/reduce.h"

#include <cmath>

namespace mixspan {

double sum_of_squares(const Exec&, ConstView x) { return oracle::sum_of_squares(x); }
double sum(const Exec&, ConstView x) { return oracle::sum(x); }

std::int64_t first_nonfinite(const Exec&, ConstView x) {
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x.data<float>()[i])) return i;
  }
  return -1;
}

void add_into(const Exec&, View y, ConstView x) {
  for (std::int64_t i = 0; i < x.size(); ++i) y.data<float>()[i] += x.data<float>()[i];
}

}  // namespace mixspan
