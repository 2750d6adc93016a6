// `mixspan train`: one run, from its config to its result; continues where an earlier call stopped.
#pragma once

#include <cstdio>
#include <filesystem>

#include "experiments/run/exit_code.h"
#include "experiments/run/run_config.h"

namespace mixspan {

struct TrainRequest {
  RunConfig config;  ///< validated
  std::filesystem::path run_dir;
  std::FILE* out = stdout;  ///< progress and notes
  int threads = 0;          ///< 0: one for each processor
};

/// Returns kFinished, or kStopped after a signal or train.max_time. Throws what ends a run
/// otherwise, after noting it in status.json.
ExitCode train(const TrainRequest& request);

}  // namespace mixspan
