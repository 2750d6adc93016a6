#include "kernels/copy_rows.h"

#include "tests/cuda/row_test.h"
#include "tests/cuda/strided.h"

namespace mixspan::test {
namespace {

class CudaCopyRows : public RowTest {
 protected:
  // Rows [3, 8) of 11 of the second of three packed tensors.
  static View rows(View packed) { return packed.select(2, 1).slice(1, 3, 8); }
};

TEST_F(CudaCopyRows, CopyClearAndAddTouchTheRowsAlone) {
  const std::int64_t B = 2, n = 5, N = 3;
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t H : {1, 8, 7, 1000}) {
      SCOPED_TRACE(fmt::format("{} H {}", name_of(dtype), H));
      const Tensor x = stored_random(dtype, {B, n, N, H}, 1),
                   y = stored_random(dtype, x.shape(), 2);
      const Tensor from = upload(as_dtype(dtype, x));
      Tensor packed = poisoned_tensor({B, 11, 3, N, H}, dtype), sum(x.shape());
      Tensor on = upload(packed);

      copy_rows(exec(), rows(on), from);
      set(rows(packed), as_dtype(dtype, x));
      EXPECT_EQ(bits_differ(download(on), packed), "");

      for (std::int64_t i = 0; i < sum.size(); ++i) {
        sum.data<float>()[i] = x.data<float>()[i] + y.data<float>()[i];
      }
      add_rows(exec(), rows(on), upload(as_dtype(dtype, y)));
      set(rows(packed), as_dtype(dtype, sum));
      EXPECT_EQ(bits_differ(download(on), packed), "");

      Tensor back = poisoned(x.shape(), dtype);
      copy_rows(exec(), back, rows(on));
      EXPECT_EQ(bits_differ(download(back), as_dtype(dtype, sum)), "");

      clear_rows(exec(), rows(on));
      set(rows(packed), Tensor(x.shape(), dtype));
      EXPECT_EQ(bits_differ(download(on), packed), "");
    }
  }
}

TEST_F(CudaCopyRows, ACopyKeepsEveryBitOfANan) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t H : {8, 3}) {
      const Tensor nans = poisoned_tensor({1, 2, 1, H}, dtype);
      Tensor to = upload(Tensor(nans.shape(), dtype));
      copy_rows(exec(), to, upload(nans));
      EXPECT_EQ(bits_differ(download(to), nans), "");
    }
  }
}

TEST_F(CudaCopyRows, RefusesHeadsThatLieApart) {
  Tensor x({1, 2, 3, 8}, DType::f32, device());
  EXPECT_THROW(clear_rows(exec(), x.view().slice(3, 0, 4)), Error);
}

}  // namespace
}  // namespace mixspan::test
