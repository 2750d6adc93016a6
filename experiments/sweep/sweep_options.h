// The sections of a sweep file whose keys have one value each: [sweep], [scale], [local], [slurm].
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

/// What a scaling study measures.
struct ScaleOptions {
  std::int64_t steps = 8;  ///< timed ones
  std::int64_t warmup_steps = 2;
  std::string machine;  ///< a machine file that the predictions are made for; "": this machine
};

/// The description of their keys; the structs' values are the defaults.
ConfigSchema schema_of(SweepOptions& sweep, ScaleOptions& scale, LocalLaunch& local,
                       SlurmLaunch& slurm);

}  // namespace mixspan
