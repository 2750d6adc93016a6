// `mixspan train`: one run, from its config to its result; continues where an earlier call stopped.
#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "experiments/run/exit_code.h"
#include "experiments/run/run_config.h"
#include "parallel/communicator.h"

namespace mixspan {

struct TrainRequest {
  RunConfig config;  ///< validated
  std::filesystem::path run_dir;
  std::FILE* out = stdout;        ///< progress and notes
  int threads = 0;                ///< of all thread ranks together; 0: one for each processor
  int thread_ranks = 1;           ///< ranks to run as threads of this process
  bool measure_peak = true;       ///< else no utilisation is reported
  bool profile = false;           ///< of the first steps, see StepProfile
  std::int64_t memory_bytes = 0;  ///< of the machine; 0: what it has. See require_memory()
  std::string note = {};          ///< train() sets it: a line about the device for the log
  /// Opens what each rank trains on; empty: what config.data says.
  std::function<std::unique_ptr<SampleSource>()> open_data = {};
};

/// Returns kFinished, or kStopped after a signal or train.max_time, on all ranks the same. Throws
/// what ends a run otherwise, after noting it in status.json: of what several ranks throw, the
/// first.
ExitCode train(const TrainRequest& request);
/// The same as one rank of `world`; request.threads are this rank's alone.
ExitCode train(const TrainRequest& request, std::unique_ptr<Communicator> world);

/// The keys, or "section.*", in which a run may differ from the one that its folder holds.
std::vector<std::string> may_change(const RunConfig& config);

}  // namespace mixspan
