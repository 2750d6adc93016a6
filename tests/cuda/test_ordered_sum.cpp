#include "kernels/ordered_sum.h"

#include <fmt/format.h>
#include <cmath>

#include "tests/cuda/device_test.h"
#include "tests/support/close.h"

namespace mixspan::test {
namespace {

class CudaOrderedSum : public DeviceTest {};

// Numbers of sizes so different that the bits of a sum tell the order in which it was taken.
template <class T>
T value(int rank, std::int64_t i) {
  const std::int64_t mixed = (rank * 7919 + i * 104729 + 17) % 1009;
  if constexpr (std::is_integral_v<T>) return static_cast<T>(mixed);
  const double size = std::pow(10.0, static_cast<double>((rank * 3 + i) % 7));
  return T(static_cast<float>((static_cast<double>(mixed) - 500.3) * size));
}

// Rank `own_place`'s piece, then those of the others.
template <class T>
struct Pieces {
  Pieces(int own_place, int count, std::int64_t n)
      : own({n}, dtype_of<T>()),
        others({(count - 1) * n}, dtype_of<T>()),
        want({n}, own.view().dtype()) {
    for (std::int64_t i = 0; i < n; ++i) {
      using Sum = std::conditional_t<std::is_same_v<T, bf16>, float, T>;
      Sum sum = static_cast<Sum>(value<T>(0, i));
      for (int r = 1; r < count; ++r) sum += static_cast<Sum>(value<T>(r, i));
      want.template data<T>()[i] = T(sum);
      for (int r = 0, at = 0; r < count; ++r) {
        T& to =
            r == own_place ? own.template data<T>()[i] : others.template data<T>()[at++ * n + i];
        to = value<T>(r, i);
      }
    }
  }
  Tensor own, others, want;
};

TEST_F(CudaOrderedSum, HasTheBitsOfTheCpusInTheOrderOfRanks) {
  in_every_order([&] {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32, DType::i64}) {
      dispatch<float, bf16, double, std::int32_t, std::int64_t>("test", dtype, [&]<class T>() {
        for (const int count : {2, 3, 5}) {
          for (int own = 0; own < count; ++own) {
            for (const std::int64_t n : {1, 300, 1031}) {
              SCOPED_TRACE(
                  fmt::format("{} place {} of {}, {} numbers", name_of(dtype), own, count, n));
              Pieces<T> p(own, count, n);
              Tensor mine = upload(p.own);
              const Tensor others = upload(p.others);
              sum_in_order(device(), exec().stream, dtype,
                           {mine.view().raw(), others.view().raw(), own, count}, n);
              EXPECT_EQ(bits_differ(download(mine), p.want), "");
              sum_in_order({}, {}, dtype, {p.own.view().raw(), p.others.view().raw(), own, count},
                           n);
              EXPECT_EQ(bits_differ(p.own, p.want), "");
            }
          }
        }
      });
    }
  });
}

}  // namespace
}  // namespace mixspan::test
