// NCCL's own library, as far as it goes without a GPU. What is done with its functions:
// tests/cuda/test_communicator.cpp, with others in their place.
#include "parallel/nccl.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"

namespace mixspan {
namespace {

TEST(Nccl, IsOpenedOrItsAbsenceIsNamed) {
  const std::string missing = why_no_nccl();
  if (!missing.empty()) {
    EXPECT_TRUE(
        missing.starts_with("no NCCL (put the folder of libnccl.so.2 into LD_LIBRARY_PATH)") ||
        missing.ends_with("is too old: wanted 2.22 or newer"))
        << missing;
    EXPECT_THROW(open_nccl(), Error);
    GTEST_SKIP() << missing;
  }
  const NcclFunctions nccl = open_nccl();
  int version = 0;
  nccl.check(nccl.GetVersion(&version));
  EXPECT_GE(version, 22200);
  EXPECT_THROW(nccl.check(nccl.CommInitRank(nullptr, 0, NcclId{}, 0)), Error);
}

// What was called, by one thread.
std::vector<std::string>& calls() {
  static std::vector<std::string> all;
  return all;
}
int note(std::string call, int status = 0) {
  calls().push_back(std::move(call));
  return status;
}
std::string number(void* comm) { return std::to_string(reinterpret_cast<std::uintptr_t>(comm)); }

// Functions that only note their calls; a message to peer 7 fails. Communicators are numbers.
NcclFunctions noted() {
  calls().clear();
  return {.GetVersion = [](int*) { return 0; },
          .GetUniqueId = [](NcclId*) { return 0; },
          .CommInitRank =
              [](void** comm, int, NcclId id, int) {
                *comm = reinterpret_cast<void*>(static_cast<std::uintptr_t>(id.bytes[0]));
                return 0;
              },
          .CommDestroy = [](void* comm) { return note("destroy " + number(comm)); },
          .CommAbort = [](void* comm) { return note("abort " + number(comm)); },
          .GroupStart = [] { return note("start"); },
          .GroupEnd = [] { return note("end"); },
          .Send = [](const void*, std::size_t, int, int peer, void*,
                     void*) { return note("send", peer == 7 ? 3 : 0); },
          .Recv = [](void*, std::size_t, int, int, void*, void*) { return note("receive"); },
          .GetErrorString = [](int status) { return status == 3 ? "the peer is gone" : "?"; }};
}

using Calls = std::vector<std::string>;

TEST(Nccl, CommunicatorsAreEndedTogether) {
  const NcclFunctions nccl = noted();
  const std::shared_ptr<NcclGroup> groups[] = {
      std::make_shared<NcclGroup>(nccl, NcclId{{1}}, 0, 2),
      std::make_shared<NcclGroup>(nccl, NcclId{{2}}, 0, 2)};
  NcclGroup::abort(groups);
  EXPECT_EQ(calls(), (Calls{"start", "abort 1", "abort 2", "end"}));
  NcclGroup::abort({});
  EXPECT_EQ(calls().size(), 4u);
}

TEST(Nccl, AMessageThatFailsLeavesNoGroupOpen) {
  const NcclFunctions nccl = noted();
  std::byte data[4];
  {
    NcclGroup group(nccl, NcclId{{5}}, 0, 8);
    group.receive(1, data);
    group.send(7, data);
    group.send(2, data);
    try {
      group.launch(Stream());
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("the peer is gone"), std::string::npos) << e.what();
    }
    EXPECT_EQ(calls(), (Calls{"start", "receive", "send", "end"}));
  }
  EXPECT_EQ(calls().back(), "destroy 5");
}

}  // namespace
}  // namespace mixspan
