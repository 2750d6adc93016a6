// What a profiler would see of the emulated device: the ranges that are open when it is given work.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace mixspan::emulation {

/// Names of the calling thread's open NVTX ranges, the outermost first.
const std::vector<std::string>& profiler_ranges();

/// Called as often as a kernel, a copy or a filling is given to a device; empty: nothing is.
std::function<void(const char* what)>& work_listener();

}  // namespace mixspan::emulation
