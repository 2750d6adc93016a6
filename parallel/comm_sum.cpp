#include "parallel/comm_sum.h"

#include <algorithm>
#include <array>

namespace mixspan {

namespace {

constexpr std::int64_t kBlock = 1024;  // elements whose sums stay in the first-level cache

template <class T>
void sum_typed(std::span<const void* const> pieces, T* out, std::int64_t n) {
  std::array<T, kBlock> sums;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, n - begin);
    const T* first = static_cast<const T*>(pieces[0]) + begin;
    std::copy(first, first + count, sums.begin());
    for (const void* piece : pieces.subspan(1)) {
      const T* x = static_cast<const T*>(piece) + begin;
      for (std::int64_t i = 0; i < count; ++i) sums[static_cast<std::size_t>(i)] += x[i];
    }
    std::copy(sums.begin(), sums.begin() + count, out + begin);
  }
}

}  // namespace

void sum_in_order(DType dtype, std::span<const void* const> pieces, void* out, std::int64_t n) {
  dispatch<float, double, std::int32_t, std::int64_t>(
      "sum over ranks", dtype, [&]<class T>() { sum_typed(pieces, static_cast<T*>(out), n); });
}

void check_summable(DType dtype) {
  dispatch<float, double, std::int32_t, std::int64_t>("sum over ranks", dtype, []<class T>() {});
}

}  // namespace mixspan
