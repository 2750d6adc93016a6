// Ranks of a host take its devices in turn.
#include <gtest/gtest.h>

#include "experiments/run/device_choice.h"
#include "parallel/thread_ranks.h"
#include "tests/emulation/emulation.h"

namespace mixspan {
namespace {

class DeviceOfRank : public testing::Test {
 protected:
  ~DeviceOfRank() override { emulation::settings() = before_; }

  struct Place {
    int device, sharing;
  };
  // By rank; -1: the CPU.
  static std::vector<Place> places(int ranks, const std::string& wish) {
    std::vector<Place> all(static_cast<std::size_t>(ranks));
    run_thread_ranks(ranks, {.timeout_seconds = 30}, [&](std::unique_ptr<Communicator> world) {
      RunConfig c;
      c.device = wish;
      const Device device = device_of_rank(c, *world);
      all[static_cast<std::size_t>(world->rank())] = {device.is_cuda() ? device.index : -1,
                                                      ranks_that_share(device, *world)};
    });
    return all;
  }

 private:
  emulation::Settings before_ = emulation::settings();
};

TEST_F(DeviceOfRank, RanksTakeTheDevicesOfTheirHostInTurn) {
  emulation::settings().devices = 3;
  const std::vector<Place> of_five = places(5, "cuda");
  for (int r = 0; r < 5; ++r) {
    EXPECT_EQ(of_five[static_cast<std::size_t>(r)].device, r % 3) << r;
    EXPECT_EQ(of_five[static_cast<std::size_t>(r)].sharing, r % 3 == 2 ? 1 : 2) << r;
  }
}

TEST_F(DeviceOfRank, AutoIsTheCpuForSeveralAndADeviceForOne) {
  for (const Place& place : places(2, "auto")) {
    EXPECT_EQ(place.device, -1);
    EXPECT_EQ(place.sharing, 2);
  }
  EXPECT_EQ(places(1, "auto")[0].device, 0);
}

TEST_F(DeviceOfRank, WithoutADeviceTheWishIsRefused) {
  emulation::settings().devices = 0;
  EXPECT_THROW(places(2, "cuda"), InputError);
}

}  // namespace
}  // namespace mixspan
