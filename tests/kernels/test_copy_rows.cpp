#include "kernels/copy_rows.h"

#include <gtest/gtest.h>

#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

// Rows [3, 8) of 11 of the second of three packed tensors.
View rows(Tensor& packed) { return packed.view().select(2, 1).slice(1, 3, 8); }

TEST(CopyRows, CopyClearAndAddTouchTheRowsAlone) {
  TestExec exec(2);
  const Shape shape{2, 5, 3, 70};
  const Tensor x = random_tensor(shape, 1), y = random_tensor(shape, 2);
  Tensor packed = poisoned_tensor({2, 11, 3, 3, 70}), sum(shape);
  const Tensor before = copy_of(packed);
  copy_rows(exec, rows(packed), x);
  EXPECT_EQ(bits_differ(rows(packed), x), "");
  add_rows(exec, rows(packed), y);
  for (std::int64_t i = 0; i < sum.size(); ++i) {
    sum.data<float>()[i] = x.data<float>()[i] + y.data<float>()[i];
  }
  EXPECT_EQ(bits_differ(rows(packed), sum), "");
  clear_rows(exec, rows(packed));
  EXPECT_EQ(bits_differ(rows(packed), Tensor(shape)), "");
  for (const std::int64_t part : {0, 2}) {
    EXPECT_EQ(bits_differ(packed.view().select(2, part), before.view().select(2, part)), "");
  }
  for (const auto& [begin, end] : {std::pair<int, int>{0, 3}, {8, 11}}) {
    EXPECT_EQ(bits_differ(packed.view().slice(1, begin, end), before.view().slice(1, begin, end)),
              "");
  }
  EXPECT_THROW(clear_rows(exec, packed.view().select(2, 1).slice(3, 0, 4)), Error);
}

}  // namespace
}  // namespace mixspan::test
