#include "kernels/reduce.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::random_tensor;
using test::TestExec;

constexpr std::int64_t kSizes[] = {0, 1, 3, 17, 63, 64, 65, 127, 1000, 16384, 16385, 50001};

TEST(Reduce, AgreesWithTheOracleOnEveryInstructionSet) {
  TestExec exec(2);
  for (const Isa isa : test::available_isas()) {
    for (const std::int64_t n : kSizes) {
      const Tensor x = random_tensor({n}, 1, 100.0);
      double magnitude = 0;
      for (std::int64_t i = 0; i < n; ++i) magnitude += std::abs(x.data<float>()[i]);
      const Exec e = with_isa(exec, isa);
      EXPECT_NEAR(sum(e, x), oracle::sum(x), 1e-13 * magnitude) << name_of(isa) << " " << n;
      const double squares = oracle::sum_of_squares(x);
      EXPECT_NEAR(sum_of_squares(e, x), squares, 1e-13 * squares) << name_of(isa) << " " << n;
    }
  }
}

TEST(Reduce, BitsDoNotDependOnThreads) {
  const Tensor x = random_tensor({100003}, 1);
  TestExec one(1);
  for (const int threads : {2, 3, 5}) {
    TestExec exec(threads);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum(exec, x)),
              std::bit_cast<std::uint64_t>(sum(one, x)));
    EXPECT_EQ(std::bit_cast<std::uint64_t>(sum_of_squares(exec, x)),
              std::bit_cast<std::uint64_t>(sum_of_squares(one, x)));
  }
}

TEST(Reduce, FindsTheFirstNonfiniteElement) {
  TestExec exec(2);
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  for (const Isa isa : test::available_isas()) {
    for (const std::int64_t n : kSizes) {
      Tensor x = random_tensor({n}, 1, 1e38 / 10);  // large, but finite
      EXPECT_EQ(first_nonfinite(with_isa(exec, isa), x), -1) << n;
      for (const std::int64_t at : {n - 1, n / 2, std::int64_t{0}}) {
        if (n == 0) break;
        x.data<float>()[at] = bad[at % 3];
        EXPECT_EQ(first_nonfinite(with_isa(exec, isa), x), at) << name_of(isa) << " " << n;
      }
    }
  }
}

TEST(AddInto, AddsElementByElement) {
  TestExec exec(2);
  for (const Isa isa : test::available_isas()) {
    for (const std::int64_t n : kSizes) {
      const Tensor x = random_tensor({n}, 1);
      Tensor y = random_tensor({n}, 2), want = test::copy_of(y);
      add_into(with_isa(exec, isa), y, x);
      for (std::int64_t i = 0; i < n; ++i) want.data<float>()[i] += x.data<float>()[i];
      EXPECT_EQ(test::bits_differ(y, want), "") << name_of(isa) << " " << n;
    }
  }
}

}  // namespace
}  // namespace mixspan
