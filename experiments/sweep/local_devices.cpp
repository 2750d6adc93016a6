#include "experiments/sweep/local_devices.h"

#include <algorithm>
#include <string_view>

#include "core/error.h"

namespace mixspan {

std::int64_t devices_of(const RunConfig& config) {
  return config.device == "cuda" ? config.parallel.ranks() : 0;
}

std::vector<std::string> device_names(std::int64_t count, const char* visible) {
  std::vector<std::string> names;
  std::string_view rest = visible == nullptr ? "" : visible;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view name = rest.substr(0, comma);
    names.push_back(name.empty() ? std::to_string(i) : std::string(name));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return names;
}

void require_devices(const std::vector<SweepRun>& runs, std::int64_t devices) {
  for (const SweepRun& run : runs) {
    const std::int64_t needed = devices_of(run.config);
    require(
        needed <= devices,
        "run {}: device = \"cuda\" on {} rank{} needs as many devices, and this process can use "
        "{}; wanted a mesh of at most that, or --launcher slurm",
        run.name, needed, needed == 1 ? "" : "s", devices);
  }
}

LocalLaunch with_devices(LocalLaunch launch, const std::vector<SweepRun>& runs,
                         std::int64_t devices) {
  std::int64_t least = 0;
  for (const SweepRun& run : runs) {
    const std::int64_t needed = devices_of(run.config);
    if (needed > 0 && (least == 0 || needed < least)) least = needed;
  }
  const bool open = launch.jobs == 0 && launch.cores == 0;
  if (open && least > 0) launch.jobs = std::clamp<std::int64_t>(devices / least, 1, kMostJobs);
  return launch;
}

std::optional<std::vector<std::string>> DevicePool::take(std::int64_t count) {
  const auto n = static_cast<std::ptrdiff_t>(count);
  if (n > std::ssize(free_)) return {};
  std::vector<std::string> taken(free_.begin(), free_.begin() + n);
  free_.erase(free_.begin(), free_.begin() + n);
  return taken;
}

void DevicePool::give_back(std::vector<std::string> names) {
  free_.insert(free_.end(), names.begin(), names.end());
  std::sort(free_.begin(), free_.end());  // the same runs in the same order get the same ones
}

}  // namespace mixspan
