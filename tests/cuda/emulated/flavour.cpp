#include "tests/cuda/device_test.h"
#include "tests/emulation/emulation.h"

namespace mixspan::test {

bool emulated() { return true; }

void in_every_order(const std::function<void()>& body) {
  using emulation::Order;
  struct Case {
    const char* name;
    Order threads, blocks;
    std::uint64_t seed;
  };
  const Case cases[] = {{"forward", Order::forward, Order::forward, 0},
                        {"backward", Order::backward, Order::backward, 0},
                        {"shuffled, seed 1", Order::shuffled, Order::shuffled, 1},
                        {"shuffled, seed 2", Order::shuffled, Order::shuffled, 2}};
  const emulation::Settings before = emulation::settings();
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string("threads and blocks ") + c.name);
    emulation::settings().threads = c.threads;
    emulation::settings().blocks = c.blocks;
    emulation::settings().seed = c.seed;
    body();
  }
  emulation::settings() = before;
}

bool with_capability(int major, int minor) {
  emulation::settings().major = major;
  emulation::settings().minor = minor;
  return true;
}
void restore_capability() {
  emulation::settings().major = emulation::Settings{}.major;
  emulation::settings().minor = emulation::Settings{}.minor;
}

bool let_a_timing_prefer(int algorithm) {
  emulation::settings().fastest_product = static_cast<std::uint64_t>(algorithm);
  return true;
}

void run_blocks_at_once(int n) { emulation::settings().blocks_at_once = n; }

void want_aligned_products(bool want) { emulation::settings().aligned_products_only = want; }

}  // namespace mixspan::test
