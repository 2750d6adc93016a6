// The sections of a sweep file whose keys have one value each: [sweep], [local], [slurm].
#pragma once

#include <cstdint>
#include <string>

#include "core/config.h"
#include "experiments/sweep/launch_config.h"

namespace mixspan {

struct SweepOptions {
  std::string name;        ///< "": the file's stem
  std::string base;        ///< "": the file has [base] sections
  std::int64_t seeds = 0;  ///< train.seed = 1..seeds; 0: not varied by this
};

/// The description of their keys; the structs' values are the defaults.
ConfigSchema schema_of(SweepOptions& sweep, LocalLaunch& local, SlurmLaunch& slurm);

}  // namespace mixspan
