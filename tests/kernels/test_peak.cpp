#include "kernels/peak.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace mixspan {
namespace {

TEST(SgemmPeak, IsANumberThatAProcessorCanHave) {
  test::TestExec exec(2);
  const double peak = measure_sgemm_peak(exec);
  EXPECT_GT(peak, 1e8);
  EXPECT_LT(peak, 1e15);
  EXPECT_EQ(exec.arena.used_bytes(), 0u);
}

TEST(AttentionRate, IsANumberThatAProcessorCanHave) {
  test::TestExec exec(2);
  const double rate = measure_attention_rate(exec);
  EXPECT_GT(rate, 1e7);
  EXPECT_LT(rate, 1e15);
}

TEST(CopyRate, IsANumberThatAMemoryCanHave) {
  test::TestExec exec(2);
  const double rate = measure_copy_rate(exec);
  EXPECT_GT(rate, 1e7);
  EXPECT_LT(rate, 1e14);
}

}  // namespace
}  // namespace mixspan
