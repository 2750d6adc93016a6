#include <algorithm>
#include <cmath>

#include "kernels/attention_merge.h"

namespace mixspan::oracle {

namespace {
// What a side contributes; one that has read no key may hold anything.
double part_of(double lse, double total, double x) {
  const double weight = std::exp(lse - total);
  return weight == 0 ? 0 : weight * x;
}
}  // namespace

void attention_merge(View o, View lse, ConstView part_o, ConstView part_lse) {
  dispatch<float, double>("attention merge", o.dtype(), [&]<class T>() {
    for (std::int64_t b = 0; b < o.dim(0); ++b) {
      for (std::int64_t t = 0; t < o.dim(1); ++t) {
        for (std::int64_t n = 0; n < o.dim(2); ++n) {
          T& sum = lse.data<T>()[b * lse.stride(0) + n * lse.stride(1) + t];
          const double mine = sum;
          const double other =
              part_lse.data<T>()[b * part_lse.stride(0) + n * part_lse.stride(1) + t];
          const double largest = std::max(mine, other);
          if (std::isinf(largest) && largest < 0) continue;  // neither has read a key
          const double total =
              largest + std::log(std::exp(mine - largest) + std::exp(other - largest));
          T* to = o.data<T>() + b * o.stride(0) + t * o.stride(1) + n * o.stride(2);
          const T* from =
              part_o.data<T>() + b * part_o.stride(0) + t * part_o.stride(1) + n * part_o.stride(2);
          for (std::int64_t i = 0; i < o.dim(3); ++i) {
            to[i] = static_cast<T>(part_of(mine, total, to[i]) + part_of(other, total, from[i]));
          }
          sum = static_cast<T>(total);
        }
      }
    }
  });
}

}  // namespace mixspan::oracle
