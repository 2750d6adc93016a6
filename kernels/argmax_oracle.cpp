#include <cmath>

#include "kernels/argmax.h"
#include "kernels/oracle_values.h"

namespace mixspan::oracle {

void argmax_rows(View index, ConstView x, std::int64_t first) {
  const auto rows = static_cast<std::size_t>(x.dim(0)), V = static_cast<std::size_t>(x.dim(1));
  const std::vector<double> values = read_values(x);
  for (std::size_t r = 0; r < rows; ++r) {
    const double* row = &values[r * V];
    std::size_t best = V;  // none yet
    for (std::size_t v = 0; v < V; ++v) {
      if (std::isnan(row[v])) continue;
      if (best == V || row[v] > row[best]) best = v;
    }
    index.data<std::int32_t>()[r] =
        static_cast<std::int32_t>(first + static_cast<std::int64_t>(best == V ? 0 : best));
  }
}

}  // namespace mixspan::oracle
