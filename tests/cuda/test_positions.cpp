#include "kernels/positions.h"

#include <vector>

#include "tests/cuda/row_test.h"

namespace mixspan::test {
namespace {

class CudaPositions : public RowTest {};

TEST_F(CudaPositions, RiseFromTheFirstInEachRow) {
  for (const auto& [B, T, first] :
       {std::tuple<int, int, int>{1, 1, 7}, {3, 5, 0}, {2, 300, 1000}}) {
    Tensor on = poisoned({B, T}, DType::i32);
    fill_positions(exec(), on, first);
    const Tensor got = download(on);
    for (std::int64_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got.data<std::int32_t>()[i], first + i % T) << i;
    }
  }
}

TEST_F(CudaPositions, MarksTheRowsOfARing) {
  for (const std::int64_t S : {1, 5, 300}) {
    for (const std::int64_t begin : {0, 1, 4, 5, 7, 299, 1000}) {
      for (const std::int64_t count : {0, 1, 3, 5, 299, 300, 301}) {
        std::vector<std::uint8_t> want(static_cast<std::size_t>(S));
        for (std::int64_t p = begin; p < begin + count; ++p) {
          want[static_cast<std::size_t>(p % S)] = 1;
        }
        Tensor on = poisoned({S}, DType::u8);
        mark_ring_rows(exec(), on, begin, begin + count);
        const Tensor got = download(on);
        for (std::int64_t s = 0; s < S; ++s) {
          ASSERT_EQ(got.data<std::uint8_t>()[s], want[static_cast<std::size_t>(s)])
              << S << " rows, [" << begin << ", " << begin + count << "), row " << s;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mixspan::test
