#include "kernels/reduce.h"

#include <bit>
#include <cmath>
#include <limits>

#include "tests/cuda/row_test.h"

namespace mixspan::test {
namespace {

class CudaReduce : public RowTest {};

// Around a run, a block, and all blocks of the grid (a megabyte of numbers).
constexpr std::int64_t kSizes[] = {0, 1, 3, 4, 9, 1023, 1024, 1025, 50001, 1048576 + 2053};

TEST_F(CudaReduce, SumsEqualTheOracle) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t n : kSizes) {
      const Tensor x = stored_random(dtype, {n}, 1, 100.0);
      double magnitude = 0;
      for (std::int64_t i = 0; i < n; ++i) magnitude += std::abs(x.data<float>()[i]);
      const Tensor on = upload(as_dtype(dtype, x));
      // A plain sum of a million terms, which the oracle's is, is itself off by some 1e-13.
      EXPECT_NEAR(sum(exec(), on), oracle::sum(x), 1e-12 * magnitude) << n;
      const double squares = oracle::sum_of_squares(x);
      EXPECT_NEAR(sum_of_squares(exec(), on), squares, 1e-12 * squares) << n;
    }
  }
}

TEST_F(CudaReduce, SumsOfSlicesEqualTheOracle) {
  const Tensor x = random_tensor({3000}, 1);
  const Tensor on = upload(x);
  for (const std::int64_t begin : {1, 2, 3, 4, 7}) {
    for (const std::int64_t end : {begin, begin + 1, begin + 5, std::int64_t{2999}}) {
      EXPECT_NEAR(sum(exec(), on.view().slice(0, begin, end)),
                  oracle::sum(x.view().slice(0, begin, end)), 1e-9);
    }
  }
}

TEST_F(CudaReduce, GivesTheSameBits) {
  const Tensor x = random_tensor({70003}, 1);
  const Tensor on = upload(x);
  const double first = sum(exec(), on), squares = sum_of_squares(exec(), on);
  in_every_order([&] {
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum(exec(), on)), std::bit_cast<std::uint64_t>(first));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum_of_squares(exec(), on)),
              std::bit_cast<std::uint64_t>(squares));
  });
}

TEST_F(CudaReduce, FindsTheFirstNonfiniteElement) {
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t n : kSizes) {
      Tensor x = random_tensor({n}, 1, 1e38 / 10);  // large, but finite
      EXPECT_EQ(first_nonfinite(exec(), upload(as_dtype(dtype, x))), -1) << n;
      if (n > 100000) continue;
      for (const std::int64_t at : {n - 1, n / 2, std::int64_t{0}}) {
        if (n == 0) break;
        x.data<float>()[at] = bad[at % 3];
        EXPECT_EQ(first_nonfinite(exec(), upload(as_dtype(dtype, x))), at) << n;
      }
    }
  }
}

TEST_F(CudaReduce, AddIntoAddsElementByElement) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t n : {1, 3, 8, 2048, 2055, 5001}) {
      for (const Lie lie : kLies) {
        const Tensor x = stored_random(dtype, {1, n}, 1), y = stored_random(dtype, {1, n}, 2);
        Tensor want({1, n});
        for (std::int64_t i = 0; i < n; ++i) {
          want.data<float>()[i] = y.data<float>()[i] + x.data<float>()[i];
        }
        PlacedRows to = place(as_dtype(dtype, y), lie), from = place(as_dtype(dtype, x), lie);
        add_into(exec(), to.view(), from.view());
        EXPECT_EQ(bits_differ(fetch(to), as_dtype(dtype, want)), "") << n;
      }
    }
  }
}

}  // namespace
}  // namespace mixspan::test
