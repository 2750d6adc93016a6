#include "kernels/cast.h"

#include <cmath>

#include "tests/cuda/row_test.h"
#include "tests/kernels/cast_cases.h"

namespace mixspan::test {
namespace {

class CudaCast : public RowTest {};

TEST_F(CudaCast, GivesTheBitsOfTheHost) {
  for (const DType from : kModelTypes) {
    for (const DType to : kModelTypes) {
      for (const std::int64_t n : {14, 16, 17, 2048, 2050, 5001}) {
        for (const Lie lie : kLies) {
          const Tensor x = as_dtype(from, cast_numbers(n));
          PlacedRows in = place(x.view().reshape({1, n}), lie);
          PlacedRows out = place_poisoned({1, n}, to, lie);
          cast(exec(), out.view(), in.view());
          EXPECT_EQ(bits_differ(fetch(out), as_dtype(to, x).view().reshape({1, n})), "")
              << name_of(from) << " to " << name_of(to) << " n " << n;
        }
      }
    }
  }
}

TEST_F(CudaCast, ANanStaysOne) {
  Tensor x({9});
  std::fill_n(x.data<float>(), 9, std::nanf(""));
  Tensor out({9}, DType::bf16, device());
  cast(exec(), out, upload(x));
  const Tensor got = as_dtype(DType::f32, download(out));
  for (std::int64_t i = 0; i < 9; ++i) EXPECT_TRUE(std::isnan(got.data<float>()[i])) << i;
}

}  // namespace
}  // namespace mixspan::test
