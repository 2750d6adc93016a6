// Runs of a sweep as tasks of job arrays.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/run/exit_code.h"
#include "experiments/run/lease.h"
#include "experiments/run/stop_signal.h"
#include "experiments/sweep/launch_config.h"
#include "experiments/sweep/sweep_folder.h"
#include "experiments/sweep/sweep_table.h"

namespace mixspan {

struct SlurmRequest {
  SlurmLaunch launch;
  std::string name;                   ///< of the jobs
  std::filesystem::path program;      ///< mixspan, absolute
  std::filesystem::path working_dir;  ///< of the runs, absolute
};

struct SubmittedArray {
  std::string job;
  std::int64_t ranks = 1;
  bool on_gpus = false;
  std::vector<std::string> runs;  ///< task k is runs[k]
};

/// Submits those of `runs` that are missing, failed or interrupted: one array for the runs of each
/// number of ranks and kind of device, several where that is more than the cluster's MaxArraySize.
/// The throttle max_at_once holds for each array. Marks the runs queued with their job's id. Throws
/// InputError with sbatch's words where it refuses any of the arrays; no run is marked then, the
/// other arrays are cancelled, and their scripts go. Empty where there is nothing to submit.
std::vector<SubmittedArray> submit_runs(const SweepFolder& folder,
                                        const std::vector<SweepRun>& runs,
                                        const SlurmRequest& request);

/// Shows the table until none of these runs is queued or running, or until a signal comes, which
/// leaves the jobs as they are. Returns as run_locally() does; kStopped after a signal. `lease` is
/// the sweep's: throws LeaseLost where another process took the sweep over.
ExitCode watch_jobs(const SweepFolder& folder, const std::vector<std::string>& names,
                    const Lease& lease, const StopSignal& signals, SweepTable& table);

}  // namespace mixspan
