#include "kernels/ordered_sum.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "kernels/cuda/ordered_sum.h"

namespace mixspan {

namespace {

constexpr std::int64_t kBlock = 1024;  // elements whose sums stay in the first-level cache

template <class T>
using SumOf = std::conditional_t<std::is_same_v<T, bf16>, float, T>;

template <class T>
void sum_on_cpu(const PiecesOfRanks& pieces, std::int64_t n) {
  const auto piece = [&](int r) {
    const auto* others = static_cast<const T*>(pieces.others);
    if (r == pieces.own_place) return static_cast<const T*>(pieces.own);
    return others + (r < pieces.own_place ? r : r - 1) * n;
  };
  std::array<SumOf<T>, kBlock> sums;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, n - begin);
    for (int r = 0; r < pieces.count; ++r) {
      const T* x = piece(r) + begin;
      for (std::int64_t i = 0; i < count; ++i) {
        SumOf<T>& sum = sums[static_cast<std::size_t>(i)];
        sum = r == 0 ? static_cast<SumOf<T>>(x[i]) : sum + static_cast<SumOf<T>>(x[i]);
      }
    }
    T* own = static_cast<T*>(pieces.own) + begin;
    for (std::int64_t i = 0; i < count; ++i)
      own[i] = static_cast<T>(sums[static_cast<std::size_t>(i)]);
  }
}

template <class Body>
void dispatch_summable(DType dtype, Body&& body) {
  dispatch<float, bf16, double, std::int32_t, std::int64_t>("sum over ranks", dtype, body);
}

}  // namespace

void sum_in_order(Device device, Stream stream, DType dtype, const PiecesOfRanks& pieces,
                  std::int64_t n) {
  check_summable(dtype);
  if (device.is_cuda()) return cuda::sum_in_order(stream, dtype, pieces, n);
  dispatch_summable(dtype, [&]<class T>() { sum_on_cpu<T>(pieces, n); });
}

void check_summable(DType dtype) {
  dispatch_summable(dtype, []<class T>() {});
}

}  // namespace mixspan
