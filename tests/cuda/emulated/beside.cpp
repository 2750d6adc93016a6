#include "tests/cuda/beside.h"

#include <gtest/gtest.h>

#include "tests/emulation/sm90.h"

namespace mixspan::test {

void late_and_early(const std::function<void()>& body) {
  using emulation::Beside;
  for (const Beside mode : {Beside::late, Beside::early}) {
    SCOPED_TRACE(mode == Beside::late ? "products and copies come late" : "products come at once");
    emulation::beside() = mode;
    emulation::unfinished_blocks();
    body();
    EXPECT_EQ(emulation::unfinished_blocks(), 0);
  }
  emulation::beside() = Beside::late;
}

}  // namespace mixspan::test
