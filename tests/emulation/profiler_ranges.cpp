#include "tests/emulation/profiler_ranges.h"

#include "tests/emulation/overlay/nvtx3/nvToolsExt.h"

namespace mixspan::emulation {

namespace {
// Of the namespace: thread_local variables of functions are taken for __shared__ ones.
thread_local std::vector<std::string> open_ranges;
}  // namespace

const std::vector<std::string>& profiler_ranges() { return open_ranges; }

std::function<void(const char*)>& work_listener() {
  static std::function<void(const char*)> listener;
  return listener;
}

}  // namespace mixspan::emulation

int nvtxRangePushA(const char* name) {
  auto& names = mixspan::emulation::open_ranges;
  names.emplace_back(name);
  return static_cast<int>(names.size()) - 1;
}

int nvtxRangePop() {
  auto& names = mixspan::emulation::open_ranges;
  if (names.empty()) return -1;
  names.pop_back();
  return static_cast<int>(names.size());
}
