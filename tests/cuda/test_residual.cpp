#include "kernels/residual.h"

#include "tests/cuda/row_test.h"

namespace mixspan::test {
namespace {

class CudaBiasResidual : public RowTest {};

TEST_F(CudaBiasResidual, EqualsTheOracle) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t rows : {0, 1, 5}) {
      for (const std::int64_t C : {1, 17, 96, 2500}) {
        for (const Lie lie : kLies) {
          SCOPED_TRACE(
              fmt::format("{} {} x {} lie {}", name_of(dtype), rows, C, static_cast<int>(lie)));
          const Tensor x = stored_random(dtype, {rows, C}, 1);
          const Tensor bias = stored_random(dtype, {C}, 2);
          const Tensor residual = stored_random(dtype, {rows, C}, 3);
          Tensor want({rows, C}, DType::f64);
          oracle::bias_residual(want, to_f64(x), to_f64(bias), to_f64(residual));
          PlacedRows from = place(as_dtype(dtype, x), lie);
          PlacedRows add = place(as_dtype(dtype, residual), lie);
          PlacedRows y = place_poisoned({rows, C}, dtype, lie);
          bias_residual(exec(), y.view(), from.view(), upload(as_dtype(dtype, bias)), add.view());
          EXPECT_EQ(differs(fetch(y), want, stored_as(dtype, kElementwise)), "");
        }
      }
    }
  }
}

TEST_F(CudaBiasResidual, OverwritesTheSumOrTheResidualItself) {
  for (const DType dtype : kModelTypes) {
    const Tensor x = as_dtype(dtype, random_tensor({9, 70}, 1));
    const Tensor bias = as_dtype(dtype, random_tensor({70}, 2));
    const Tensor residual = as_dtype(dtype, random_tensor({9, 70}, 3));
    const std::vector<Tensor> want = steady([&] {
      Tensor y = poisoned({9, 70}, dtype);
      bias_residual(exec(), y, upload(x), upload(bias), upload(residual));
      std::vector<Tensor> results;
      results.push_back(download(y));
      return results;
    });
    Tensor over_x = upload(x), over_residual = upload(residual);
    bias_residual(exec(), over_x, over_x, upload(bias), upload(residual));
    bias_residual(exec(), over_residual, upload(x), upload(bias), over_residual);
    EXPECT_EQ(bits_differ(download(over_x), want[0]), "");
    EXPECT_EQ(bits_differ(download(over_residual), want[0]), "");
  }
}

}  // namespace
}  // namespace mixspan::test
