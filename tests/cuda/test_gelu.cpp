#include "kernels/gelu.h"

#include <cmath>
#include <limits>

#include "tests/cuda/row_test.h"

namespace mixspan::test {
namespace {

class CudaGelu : public RowTest {};

TEST_F(CudaGelu, EqualsTheOracle) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t n : {1, 3, 4, 7, 8, 9, 2047, 2048, 2056, 5001}) {
      for (const Lie lie : kLies) {
        for (const double spread : {0.01, 1.0, 6.0}) {
          SCOPED_TRACE(fmt::format("{} n {} lie {} spread {}", name_of(dtype), n,
                                   static_cast<int>(lie), spread));
          const Tensor x = stored_random(dtype, {1, n}, 1, spread);
          const Tensor dy = stored_random(dtype, {1, n}, 2);
          Tensor want_y({1, n}, DType::f64), want_dx({1, n}, DType::f64);
          oracle::gelu_forward(want_y, to_f64(x));
          oracle::gelu_backward(want_dx, to_f64(dy), to_f64(x));
          PlacedRows in = place(as_dtype(dtype, x), lie), up = place(as_dtype(dtype, dy), lie);
          PlacedRows y = place_poisoned({1, n}, dtype, lie);
          PlacedRows dx = place_poisoned({1, n}, dtype, lie);
          gelu_forward(exec(), y.view(), in.view());
          gelu_backward(exec(), dx.view(), up.view(), in.view());
          EXPECT_EQ(differs(fetch(y), want_y, stored_as(dtype, kElementwise)), "");
          EXPECT_EQ(differs(fetch(dx), want_dx, stored_as(dtype, kElementwise)), "");
        }
      }
    }
  }
}

TEST_F(CudaGelu, WorksInPlaceAndGivesTheSameBits) {
  for (const DType dtype : kModelTypes) {
    const Tensor x = as_dtype(dtype, random_tensor({3, 2001}, 1));
    const Tensor dy = as_dtype(dtype, random_tensor({3, 2001}, 2));
    const std::vector<Tensor> apart = steady([&] {
      const Tensor in = upload(x), up = upload(dy);
      Tensor y = poisoned(x.shape(), dtype), dx = poisoned(x.shape(), dtype);
      gelu_forward(exec(), y, in);
      gelu_backward(exec(), dx, up, in);
      std::vector<Tensor> results;
      results.push_back(download(y));
      results.push_back(download(dx));
      return results;
    });
    Tensor y = upload(x), dx = upload(dy);
    gelu_forward(exec(), y, y);
    gelu_backward(exec(), dx, dx, upload(x));
    EXPECT_EQ(bits_differ(download(y), apart[0]), "");
    EXPECT_EQ(bits_differ(download(dx), apart[1]), "");
  }
}

TEST_F(CudaGelu, ExtremesAreExactAndNanStaysNan) {
  for (const DType dtype : kModelTypes) {
    Tensor x({8}), dy({8});
    const float values[] = {0.0f, 30.0f, 1e4f, -30.0f, -1e4f, std::nanf(""), 1e30f, -1e30f};
    std::copy(std::begin(values), std::end(values), x.data<float>());
    std::fill_n(dy.data<float>(), 8, 1.0f);
    const Tensor in = upload(as_dtype(dtype, x)), up = upload(as_dtype(dtype, dy));
    Tensor on_y = poisoned({8}, dtype), on_dx = poisoned({8}, dtype);
    gelu_forward(exec(), on_y, in);
    gelu_backward(exec(), on_dx, up, in);
    const Tensor y = as_dtype(DType::f32, download(on_y)),
                 dx = as_dtype(DType::f32, download(on_dx));
    const Tensor stored = rounded_to(dtype, x);
    EXPECT_EQ(y.data<float>()[0], 0.0f);
    EXPECT_EQ(dx.data<float>()[0], 0.5f);
    for (const int i : {1, 2, 6}) {
      EXPECT_EQ(y.data<float>()[i], stored.data<float>()[i]);
      EXPECT_EQ(dx.data<float>()[i], 1.0f);
    }
    for (const int i : {3, 4, 7}) {
      EXPECT_NEAR(y.data<float>()[i], 0.0f, 1e-30f);
      EXPECT_NEAR(dx.data<float>()[i], 0.0f, 1e-25f);
    }
    EXPECT_TRUE(std::isnan(y.data<float>()[5]) && std::isnan(dx.data<float>()[5]));
  }
}

}  // namespace
}  // namespace mixspan::test
