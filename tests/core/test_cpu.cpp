#include "core/cpu.h"

#include <gtest/gtest.h>

#include <memory>

#include "core/arena.h"

namespace mixspan {
namespace {

TEST(PeakResidentBytes, RisesWithMemoryThatIsTouchedAndStays) {
  constexpr std::int64_t kBytes = std::int64_t{64} << 20;
  const std::int64_t before = peak_resident_bytes();
  ASSERT_GT(before, 0);
  {
    Arena arena("touched");
    const View x = arena.allocate("x", {kBytes / 4});
    std::fill_n(x.data<float>(), x.size(), 1.0f);
  }
  const std::int64_t after = peak_resident_bytes();
  EXPECT_GE(after, before + kBytes / 2);   // what was there before may have gone
  EXPECT_LE(after, before + 16 * kBytes);  // sanitizers add their own
  EXPECT_GE(peak_resident_bytes(), after);
}

}  // namespace
}  // namespace mixspan
