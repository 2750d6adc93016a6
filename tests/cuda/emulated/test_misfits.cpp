// What a person is told when the driver or the device does not fit this build.
#include <functional>

#include "experiments/run/device_choice.h"
#include "kernels/gelu.h"
#include "tests/cuda/device_test.h"
#include "tests/emulation/cuda_api.h"
#include "tests/emulation/emulation.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

class Misfits : public DeviceTest {
 protected:
  void TearDown() override {
    emulation::settings() = {};
    DeviceTest::TearDown();
  }
  static emulation::Settings& machine() { return emulation::settings(); }
  static std::string told(const char* wish = "cuda") {
    return refusal([&] { chosen_device(wish, "device"); });
  }
};

TEST_F(Misfits, WithoutADriver) {
  machine().driver_version = 0;
  EXPECT_EQ(told(),
            "device = \"cuda\": no NVIDIA driver is installed on this machine; wanted \"cpu\" or "
            "\"auto\"");
  EXPECT_FALSE(chosen_device("auto", "device").is_cuda());
}

TEST_F(Misfits, WithADriverThatIsTooOld) {
  machine().driver_version = 12080;
  EXPECT_EQ(told(),
            "device = \"cuda\": the NVIDIA driver knows CUDA 12.8 at most, this build needs 13.0: "
            "wanted a newer driver, or a build with an older CUDA; wanted \"cpu\" or \"auto\"");
  EXPECT_FALSE(chosen_device("auto", "device").is_cuda());
}

TEST_F(Misfits, WithADriverInTwoVersionsOrABusyDevice) {
  machine().driver_problem = cudaErrorSystemDriverMismatch;
  EXPECT_NE(told().find("kernel module and its libraries are of different versions"),
            std::string::npos)
      << told();
  machine().driver_problem = cudaErrorDevicesUnavailable;
  EXPECT_NE(told().find("another process has the device for itself"), std::string::npos) << told();
}

TEST_F(Misfits, WithADriverThatShowsNoDevice) {
  machine().devices = 0;
  EXPECT_NE(told().find("shows no device (is CUDA_VISIBLE_DEVICES set?)"), std::string::npos)
      << told();
}

TEST_F(Misfits, WithADeviceThatThisBuildHasNoCodeFor) {
  struct Case {
    int major, minor;
    bool fits;
  };
  for (const Case& c : {Case{7, 5, false}, Case{8, 0, true}, Case{8, 9, true}, Case{9, 0, true},
                        Case{10, 0, false}, Case{12, 0, false}}) {
    machine().major = c.major;
    machine().minor = c.minor;
    EXPECT_EQ(chosen_device("auto", "device").is_cuda(), c.fits) << c.major << "." << c.minor;
    if (c.fits) continue;
    const std::string why = fmt::format(
        "this build has code for compute capability 8.x and 9.0; cuda:0 (emulated device) has "
        "{}.{}",
        c.major, c.minor);
    EXPECT_EQ(told(), "device = \"cuda\": " + why + "; wanted \"cpu\" or \"auto\"");
    EXPECT_EQ(passed_over("auto"), why);
    EXPECT_EQ(passed_over("cpu"), "");
    EXPECT_EQ(refusal([] {
                require_device({DeviceKind::cuda, 0});
              }),
              "device: cuda:0 cannot be used: " + why + ". device=cpu works.");
  }
}

TEST_F(Misfits, WhereAKernelHasNoImageTheLaunchSaysSo) {
  const Tensor x = upload(Tensor({64}));
  Tensor y = poisoned({64});
  machine().has_kernel_image = false;
  try {
    gelu_forward(exec(), y, x);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    const std::string message = e.what();
    EXPECT_EQ(message.find("CUDA says cudaErrorNoKernelImageForDevice: this build has no code for "
                           "this device: it has some for compute capability 8.x and 9.0"),
              0u)
        << message;
  }
}

}  // namespace
}  // namespace mixspan::test
