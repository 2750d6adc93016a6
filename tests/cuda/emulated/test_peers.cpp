// Ranks of one process on devices of their own read each other's memory straight.
#include <gtest/gtest.h>

#include <vector>

#include "parallel/thread_ranks.h"
#include "tests/emulation/emulation.h"
#include "tests/emulation/peers.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

TEST(Peers, RanksOnDevicesOfTheirOwnCopyStraightBetweenThem) {
  const emulation::Settings before = emulation::settings();
  emulation::settings().devices = 3;
  const int around = emulation::peers().around, straight = emulation::peers().straight;
  run_thread_ranks(3, {.timeout_seconds = 30}, [&](std::unique_ptr<Communicator> world) {
    const Device device{DeviceKind::cuda, world->rank()};
    use_device(device);
    const OwnedStream stream(device);
    world->use_device({device, stream, DeviceTransport::automatic, nullptr});
    const Tensor host = random_tensor({3, 5}, 7);
    Tensor x({3, 5}, DType::f32, device), got({3, 5});
    const std::vector<Range> parts = {{0, 1}, {1, 2}, {2, 3}};
    for (int repeat = 0; repeat < 2; ++repeat) {
      copy_bytes(stream, x.view().raw(), host.view().raw(), x.view().size_bytes());
      world->all_gather({"rows"}, x, parts).wait();
    }
    copy_bytes(stream, got.view().raw(), x.view().raw(), x.view().size_bytes());
    synchronise(stream);
    EXPECT_EQ(bits_differ(got, host), "");
    world->barrier({"end"});
  });
  EXPECT_EQ(emulation::peers().around, around);
  EXPECT_GE(emulation::peers().straight, straight + 12);  // each two parts of others, twice
  // Devices that are not connected are noticed.
  const Device first{DeviceKind::cuda, 0}, third{DeviceKind::cuda, 2};
  const OwnedStream stream(first);
  Tensor x({4}, DType::f32, third);
  emulation::settings().devices = 4;
  const Tensor z({4}, DType::f32, {DeviceKind::cuda, 3});
  copy_bytes(stream, x.view().raw(), z.view().raw(), 16);
  EXPECT_EQ(emulation::peers().around, around + 1);
  EXPECT_TRUE(connect(third, {DeviceKind::cuda, 3}));
  EXPECT_TRUE(connect(third, {DeviceKind::cuda, 3}));
  copy_bytes(stream, x.view().raw(), z.view().raw(), 16);
  EXPECT_EQ(emulation::peers().around, around + 1);
  // A device that is connected to as many as it can be goes on through the host.
  emulation::settings().devices = 6;
  emulation::settings().most_peers = emulation::peers().count(third.index) + 1;
  EXPECT_TRUE(connect(third, {DeviceKind::cuda, 4}));
  EXPECT_FALSE(connect(third, {DeviceKind::cuda, 5}));
  EXPECT_TRUE(connect(third, {DeviceKind::cuda, 4}));
  emulation::settings() = before;
}

}  // namespace
}  // namespace mixspan::test
