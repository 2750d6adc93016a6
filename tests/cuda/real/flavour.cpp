#include "tests/cuda/device_test.h"

namespace mixspan::test {

bool emulated() { return false; }
void in_every_order(const std::function<void()>& body) { body(); }
bool with_capability(int major, int minor) {
  const DeviceInfo info = describe({DeviceKind::cuda, 0});
  // What is for 8.0 runs on whatever came after.
  return major == 8 ? info.major > 8 || info.minor >= minor
                    : info.major == major && info.minor == minor;
}
void restore_capability() {}
bool let_a_timing_prefer(int) { return false; }
void run_blocks_at_once(int) {}
void want_aligned_products(bool) {}

}  // namespace mixspan::test
