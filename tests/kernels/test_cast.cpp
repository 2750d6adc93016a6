#include "kernels/cast.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/cast_cases.h"
#include "tests/support/close.h"

namespace mixspan::test {
namespace {

TEST(Cast, RoundsToNearestAndTiesToEven) {
  TestExec exec(2);
  const std::int64_t n = 40000;
  const Tensor x = cast_numbers(n);
  Tensor y = poisoned_tensor({n}, DType::bf16), back = poisoned_tensor({n});
  cast(exec, y, x);
  cast(exec, back, y);
  const std::uint16_t want[] = {0x3f80, 0x3f82, 0x3f81, 0x3f81, 0x7f80, 0x7f7f, 0x0000,
                                0x0000, 0x0002, 0x8000, 0x0000, 0x7f80, 0xff80, 0xbf82};
  for (std::size_t i = 0; i < std::size(want); ++i) EXPECT_EQ(y.data<bf16>()[i].bits, want[i]) << i;
  for (std::int64_t i = 14; i < n; ++i) {
    const float v = x.data<float>()[i], rounded = back.data<float>()[i];
    ASSERT_LE(std::abs(rounded - v), std::abs(v) / 256) << i;
    ASSERT_EQ(rounded, static_cast<float>(y.data<bf16>()[i])) << i;
  }
}

TEST(Cast, OfTheSameTypeIsACopy) {
  TestExec exec(1);
  const Tensor x = cast_numbers(100);
  Tensor y = poisoned_tensor({100});
  cast(exec, y, x);
  EXPECT_EQ(bits_differ(y, x), "");
  EXPECT_THROW(cast(exec, y, Tensor({99})), Error);
}

}  // namespace
}  // namespace mixspan::test
