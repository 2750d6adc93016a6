#include "kernels/positions.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

TEST(Positions, RiseFromTheFirstInEachRow) {
  TestExec exec(1);
  Tensor positions = poisoned_tensor({3, 5}, DType::i32);
  fill_positions(exec, positions, 7);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(positions.data<std::int32_t>()[i], 7 + i % 5);
  EXPECT_THROW(fill_positions(exec, positions, 2147483647), Error);
}

TEST(Positions, MarkTheRowsOfARing) {
  TestExec exec(1);
  for (const std::int64_t S : {1, 5, 300}) {
    for (const std::int64_t begin : {0, 1, 4, 5, 299, 1000}) {
      for (const std::int64_t count : {0, 1, 3, 5, 299, 300, 301}) {
        std::vector<std::uint8_t> want(static_cast<std::size_t>(S));
        for (std::int64_t p = begin; p < begin + count; ++p) {
          want[static_cast<std::size_t>(p % S)] = 1;
        }
        Tensor marks = poisoned_tensor({S}, DType::u8);
        mark_ring_rows(exec, marks, begin, begin + count);
        EXPECT_TRUE(std::equal(want.begin(), want.end(), marks.data<std::uint8_t>()))
            << S << " rows, [" << begin << ", " << begin + count << ")";
      }
    }
  }
}

}  // namespace
}  // namespace mixspan::test
