// The devices of this machine, divided among the runs that are on it at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "experiments/run/run_config.h"
#include "experiments/sweep/launch_config.h"
#include "experiments/sweep/sweep_run.h"

namespace mixspan {

/// Devices that a run uses: one for each of its ranks, none on the CPU.
std::int64_t devices_of(const RunConfig& config);

/// What CUDA_VISIBLE_DEVICES calls the `count` devices that this process can use. `visible` is what
/// this process has there, or null.
std::vector<std::string> device_names(std::int64_t count, const char* visible);

/// Throws InputError, naming the run, where one needs more devices than there are.
void require_devices(const std::vector<SweepRun>& runs, std::int64_t devices);

/// `launch`, where it leaves the number of runs at a time and their processors open and any of
/// `runs` needs devices, with as many as the devices hold of the smallest of those runs.
LocalLaunch with_devices(LocalLaunch launch, const std::vector<SweepRun>& runs,
                         std::int64_t devices);

/// Devices that no run has now.
class DevicePool {
 public:
  explicit DevicePool(std::vector<std::string> names) : free_(std::move(names)) {}
  /// Empty where fewer are free.
  std::optional<std::vector<std::string>> take(std::int64_t count);
  void give_back(std::vector<std::string> names);

 private:
  std::vector<std::string> free_;
};

}  // namespace mixspan
