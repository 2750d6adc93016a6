#include "tests/cuda/device_test.h"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "kernels/cuda/libraries.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

struct DeviceTest::Parts {
  OwnedStream stream;
  ThreadPool pool{1};
  cuda::Libraries libraries;
  Arena arena;

  explicit Parts(Device device)
      : stream(device), libraries(device), arena("test scratch on the device", device) {
    arena.poison(true, stream);
  }
};

namespace {
// An emulated device takes minutes for what a real one does in a moment.
bool takes_too_long() {
  const std::string_view name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  return emulated() && name.find("Slow") != name.npos &&
         std::getenv("MIXSPAN_LONG_EMULATION") == nullptr;
}
}  // namespace

DeviceTest::DeviceTest() = default;
DeviceTest::~DeviceTest() = default;

void DeviceTest::SetUp() {
  if (device_count() == 0) GTEST_SKIP() << "no device: " << why_no_device();
  if (takes_too_long()) GTEST_SKIP() << "long when emulated; MIXSPAN_LONG_EMULATION=1 runs it";
  use_device(device());
  parts_ = std::make_unique<Parts>(device());
}

void DeviceTest::TearDown() {
  if (!has_device()) return;
  synchronise(parts_->stream);  // errors of kernels come out here, in the test that made them
  restore_capability();
}

Exec DeviceTest::exec() const {
  return Exec{.device = device(),
              .stream = parts_->stream,
              .threads = parts_->pool,
              .libraries = &parts_->libraries,
              .scratch = parts_->arena};
}

void DeviceTest::require_capability(int major, int minor) {
  if (has_device() && !with_capability(major, minor)) {
    const DeviceInfo info = describe(device());
    GTEST_SKIP() << "needs compute capability " << major << "." << minor << ", " << info.name
                 << " has " << info.major << "." << info.minor;
  }
}

Tensor DeviceTest::upload(const ConstView& host) const {
  Tensor t(host.shape(), host.dtype(), device());
  copy(exec(), t, host);
  return t;
}

Tensor DeviceTest::poisoned(Shape shape, DType dtype) const {
  Tensor t(shape, dtype, device());
  fill_bytes(parts_->stream, t.view().raw(), 0xff, t.view().size_bytes());
  return t;
}

Tensor DeviceTest::download(const ConstView& on_device) const {
  Tensor t(on_device.shape(), on_device.dtype());
  copy(exec(), t, on_device);
  synchronise(parts_->stream);
  return t;
}

Tensor as_dtype(DType dtype, const ConstView& v) {
  check_contiguous("as_dtype", v);
  Tensor t(v.shape(), dtype);
  dispatch<float, bf16, double>("as_dtype", v.dtype(), [&]<class From>() {
    dispatch<float, bf16, double>("as_dtype", dtype, [&]<class To>() {
      for (std::int64_t i = 0; i < v.size(); ++i) {
        if constexpr (std::is_same_v<From, To>) {
          t.data<To>()[i] = v.data<From>()[i];
        } else if constexpr (std::is_same_v<From, double> && std::is_same_v<To, bf16>) {
          t.data<To>()[i] = bf16(static_cast<float>(v.data<From>()[i]));
        } else if constexpr (std::is_same_v<From, bf16> && std::is_same_v<To, double>) {
          t.data<To>()[i] = static_cast<float>(v.data<From>()[i]);
        } else {
          t.data<To>()[i] = static_cast<To>(v.data<From>()[i]);
        }
      }
    });
  });
  return t;
}

Tensor rounded_to(DType dtype, const ConstView& f32) {
  check_dtype("rounded_to", f32, DType::f32);
  return as_dtype(DType::f32, as_dtype(dtype, f32));
}

}  // namespace mixspan::test
