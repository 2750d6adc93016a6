#include "kernels/argmax.h"

#include <limits>

#include "tests/cuda/row_test.h"
#include "tests/kernels/argmax_cases.h"

namespace mixspan::test {
namespace {

class CudaArgmax : public RowTest {};

TEST_F(CudaArgmax, EqualsTheOracle) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t V : {1, 3, 8, 17, 64, 65, 1000, 1025, 5000, 50257}) {
      for (const Lie lie : kLies) {
        if (V > 10000 && lie != Lie::askew) continue;
        SCOPED_TRACE(fmt::format("{} V {} lie {}", name_of(dtype), V, static_cast<int>(lie)));
        const Tensor x = rounded_to(dtype, argmax_rows_of(V));
        const std::int64_t rows = x.shape()[0];
        Tensor want({rows}, DType::i32);
        oracle::argmax_rows(want, x, 100);
        PlacedRows in = place(as_dtype(dtype, x), lie);
        const auto run = [&] {
          Tensor index = poisoned({rows}, DType::i32);
          argmax_rows(exec(), index, in.view(), 100);
          std::vector<Tensor> results;
          results.push_back(download(index));
          return results;
        };
        const auto got = V == 1025 ? steady(run) : run();
        for (std::int64_t r = 0; r < rows; ++r) {
          EXPECT_EQ(got[0].data<std::int32_t>()[r], want.data<std::int32_t>()[r]) << "row " << r;
        }
      }
    }
  }
}

TEST_F(CudaArgmax, OneShardNeedsNoParts) {
  Tensor likeliest({1, 300}, DType::i32), targets({300}, DType::i32);
  for (std::int32_t r = 0; r < 300; ++r) {
    likeliest.data<std::int32_t>()[r] = r;
    targets.data<std::int32_t>()[r] = r % 4 == 0 ? r : r + 1;
  }
  Tensor correct = poisoned({300}, DType::u8);
  mark_correct(exec(), correct, upload(likeliest), {}, upload(targets));
  const Tensor got = download(correct);
  for (std::int64_t r = 0; r < 300; ++r) {
    EXPECT_EQ(got.data<std::uint8_t>()[r], r % 4 == 0 ? 1 : 0) << r;
  }
}

}  // namespace
}  // namespace mixspan::test
