// NCCL's own library, as far as it goes without a GPU. What is done with its functions:
// tests/cuda/test_communicator.cpp, with others in their place.
#include "parallel/nccl.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace mixspan {
namespace {

TEST(Nccl, IsOpenedOrItsAbsenceIsNamed) {
  const std::string missing = why_no_nccl();
  if (!missing.empty()) {
    EXPECT_EQ(missing.find("no NCCL (put the folder of libnccl.so.2 into LD_LIBRARY_PATH)"), 0u)
        << missing;
    EXPECT_THROW(open_nccl(), Error);
    GTEST_SKIP() << missing;
  }
  const NcclFunctions nccl = open_nccl();
  int version = 0;
  nccl.check(nccl.GetVersion(&version));
  EXPECT_GE(version, 20700);  // the first with ncclSend
  EXPECT_THROW(nccl.check(nccl.CommInitRank(nullptr, 0, NcclId{}, 0)), Error);
}

}  // namespace
}  // namespace mixspan
