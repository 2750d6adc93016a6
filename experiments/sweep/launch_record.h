// launch.toml of a sweep's folder: how it was started last, for `mixspan sweep retry`.
#pragma once

#include <filesystem>
#include <string>

#include "experiments/sweep/launch_config.h"

namespace mixspan {

struct LaunchRecord {
  std::string launcher = "local";  ///< or "slurm"
  std::string working_dir;         ///< that paths in the runs' configs begin from
  LocalLaunch local;
  SlurmLaunch slurm;
};

void write_launch_record(const std::filesystem::path& file, LaunchRecord record);
/// Throws InputError where there is none or it cannot be understood.
LaunchRecord read_launch_record(const std::filesystem::path& file);

}  // namespace mixspan
