#include "kernels/attention_merge.h"

#include <cmath>
#include <limits>

#include "tests/cuda/row_test.h"
#include "tests/cuda/strided.h"

namespace mixspan::test {
namespace {

constexpr float kReadNothing = -std::numeric_limits<float>::infinity();

class CudaAttentionMerge : public RowTest {
 protected:
  // Two results over different keys, as they are stored, in f32. o: (B, T, N, H).
  struct Results {
    Results(DType dtype, Shape s)
        : o(stored_random(dtype, s, 1)),
          lse(random_tensor({s[0], s[2], s[1]}, 2)),
          part_o(stored_random(dtype, s, 3)),
          part_lse(random_tensor(lse.shape(), 4)) {}
    Tensor o, lse, part_o, part_lse;
  };

  std::vector<Tensor> merged(DType dtype, const Results& r) const {
    Tensor o = upload(as_dtype(dtype, r.o)), lse = upload(r.lse);
    attention_merge(exec(), o, lse, upload(as_dtype(dtype, r.part_o)), upload(r.part_lse));
    std::vector<Tensor> results;
    results.push_back(download(o));
    results.push_back(download(lse));
    return results;
  }
  static void expect_close(DType dtype, const std::vector<Tensor>& got, const Results& r) {
    Tensor o = to_f64(r.o), lse = to_f64(r.lse);
    oracle::attention_merge(o, lse, to_f64(r.part_o), to_f64(r.part_lse));
    EXPECT_EQ(differs(got[0], o, stored_as(dtype, kElementwise)), "");
    EXPECT_EQ(differs(got[1], lse, kElementwise), "");
  }
};

TEST_F(CudaAttentionMerge, EqualsTheOracleHoweverFarApartTheSumsAre) {
  for (const DType dtype : kModelTypes) {
    for (const float gap : {0.0f, 1e-3f, 1.0f, 20.0f, 87.0f, 104.0f, 800.0f, 1e30f, 3e38f}) {
      for (const float sign : {-1.0f, 1.0f}) {
        Results r(dtype, {2, 7, 3, 13});
        for (std::int64_t i = 0; i < r.lse.size(); ++i) r.part_lse.data<float>()[i] += sign * gap;
        SCOPED_TRACE(fmt::format("{} gap {}", name_of(dtype), sign * gap));
        expect_close(dtype, merged(dtype, r), r);
      }
    }
  }
}

// Fewer runs than, as many as and more than a warp has lanes; rows that fill no block.
TEST_F(CudaAttentionMerge, EqualsTheOracleForEveryHeadSize) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t H : {1, 4, 8, 20, 64, 128, 256, 300}) {
      SCOPED_TRACE(fmt::format("{} H {}", name_of(dtype), H));
      const Results r(dtype, {2, 5, 3, H});
      expect_close(dtype, H == 20 ? steady([&] { return merged(dtype, r); }) : merged(dtype, r), r);
    }
  }
}

TEST_F(CudaAttentionMerge, ASideThatReadNothingLeavesTheOtherAsItIs) {
  for (const DType dtype : kModelTypes) {
    const Shape shape{2, 9, 2, 20};
    const Results r(dtype, shape);
    const Tensor o = as_dtype(dtype, r.o), nan = poisoned(shape, dtype);
    Tensor nothing(r.lse.shape());
    std::fill_n(nothing.data<float>(), nothing.size(), kReadNothing);

    Tensor to = upload(o), lse = upload(r.lse);
    attention_merge(exec(), to, lse, nan, upload(nothing));
    EXPECT_EQ(bits_differ(download(to), o), "");
    EXPECT_EQ(bits_differ(download(lse), r.lse), "");

    Tensor empty = upload(Tensor(shape, dtype)), empty_lse = upload(nothing);
    attention_merge(exec(), empty, empty_lse, nan, upload(nothing));
    EXPECT_EQ(bits_differ(download(empty), Tensor(shape, dtype)), "");
    EXPECT_EQ(bits_differ(download(empty_lse), nothing), "");

    Tensor into = poisoned(shape, dtype);
    attention_merge(exec(), into, empty_lse, upload(o), upload(r.lse));
    EXPECT_EQ(bits_differ(download(into), o), "");
    EXPECT_EQ(bits_differ(download(empty_lse), r.lse), "");
  }
}

TEST_F(CudaAttentionMerge, ANaNStaysOne) {
  Results r(DType::f32, {1, 1, 1, 8});
  r.part_lse.data<float>()[0] = std::nanf("");
  const auto got = merged(DType::f32, r);
  EXPECT_TRUE(std::isnan(got[0].data<float>()[0]));
  EXPECT_TRUE(std::isnan(got[1].data<float>()[0]));
}

// Positions [3, 12) of 20, the second of three packed tensors: what lies around them is not
// touched.
TEST_F(CudaAttentionMerge, TouchesOnlyTheRowsOfStridedViews) {
  const std::int64_t B = 2, T = 9, N = 3;
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t H : {8, 5}) {
      const Results r(dtype, {B, T, N, H});
      const auto rows = [](View packed) { return packed.select(2, 1).slice(1, 3, 12); };
      const auto sums = [](View all) { return all.slice(2, 3, 12); };
      Tensor packed = poisoned_tensor({B, 20, 3, N, H}, dtype), lse = poisoned_tensor({B, N, 20});
      set(rows(packed), as_dtype(dtype, r.o));
      set(sums(lse), r.lse);
      Tensor on = upload(packed), on_lse = upload(lse);
      attention_merge(exec(), rows(on), sums(on_lse), upload(as_dtype(dtype, r.part_o)),
                      upload(r.part_lse));
      const auto want = merged(dtype, r);
      set(rows(packed), want[0]);
      set(sums(lse), want[1]);
      EXPECT_EQ(bits_differ(download(on), packed), "") << H;
      EXPECT_EQ(bits_differ(download(on_lse), lse), "") << H;
    }
  }
}

}  // namespace
}  // namespace mixspan::test
