// A device whose memory ends in a step.
#include "experiments/run/memory_advice.h"
#include "tests/cuda/training.h"
#include "tests/emulation/emulation.h"

namespace mixspan::test {
namespace {

class DeviceMemoryEnds : public DeviceTest {
 protected:
  void TearDown() override {
    emulation::settings().memory_bytes = emulation::Settings{}.memory_bytes;
    DeviceTest::TearDown();
  }
};

TEST_F(DeviceMemoryEnds, InAStepWithTheTableOfTheArena) {
  RunConfig c = small_run();
  c.device = "cuda";
  SmallRun run(exec(), c);
  // Enough for the batch and what the first layers keep.
  const DeviceMemory before = memory_of(device());
  emulation::settings().memory_bytes = before.total_bytes - before.free_bytes + (24 << 10);
  const std::string message =
      refusal([&] { with_memory_advice(run.config, [&] { run.trainer->step(0); }); });
  EXPECT_EQ(message.find("out of memory: arena '"), 0u) << message;
  EXPECT_NE(message.find("bytes are in use: "), std::string::npos) << message;
  EXPECT_NE(message.find("bytes on cuda:0 were wanted; "), std::string::npos) << message;
  EXPECT_NE(message.find("train.precision = \"bf16\" ("), std::string::npos) << message;
  EXPECT_NE(message.find("train.micro_rows = 1 ("), std::string::npos) << message;
  // Nothing is lost: with memory there the same step goes through.
  emulation::settings().memory_bytes = emulation::Settings{}.memory_bytes;
  EXPECT_GT(run.trainer->step(0).loss, 0);
}

TEST_F(DeviceMemoryEnds, AChunkIsSmallerWhereTheUsualOneIsNotThere) {
  const DeviceMemory before = memory_of(device());
  emulation::settings().memory_bytes = before.total_bytes - before.free_bytes + (64 << 10);
  const std::size_t usual = memory_of(device()).total_bytes / 64;
  const DeviceBuffer most(device(), memory_of(device()).free_bytes - 512, "nearly all");
  ASSERT_LT(memory_of(device()).free_bytes, usual);
  Arena arena("a", device());
  arena.allocate("small", {100});
  EXPECT_EQ(arena.taken_bytes(), 512u);
}

}  // namespace
}  // namespace mixspan::test
