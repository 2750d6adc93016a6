// Runs of a sweep as processes of this machine, some at a time.
#pragma once

#include <filesystem>
#include <vector>

#include "experiments/run/exit_code.h"
#include "experiments/run/lease.h"
#include "experiments/run/stop_signal.h"
#include "experiments/sweep/launch_config.h"
#include "experiments/sweep/sweep_folder.h"
#include "experiments/sweep/sweep_table.h"

namespace mixspan {

struct LocalRequest {
  LocalLaunch launch;
  std::filesystem::path program = "/proc/self/exe";  ///< mixspan; by default this very one
  std::filesystem::path working_dir;                 ///< of the runs; empty: this process's
  std::vector<std::string> devices = {};             ///< to divide; see device_names()
};

/// The processors that each of the runs at a time gets. Throws InputError where `launch` wants more
/// than this process may use.
std::vector<std::vector<int>> divide_processors(const LocalLaunch& launch);

/// Runs those of `runs` that are missing, failed or interrupted, by `mixspan train`. What another
/// process of this host writes now is waited for and goes on from there; what is queued or running
/// in jobs is left to them. One failed run stops no other; a run that failed before it could say
/// so gets a status.json that does. A run gets the devices that it needs for itself: those that
/// need some start in their order, while the CPU's may overtake them. There are as many as any
/// needs. A signal to this process stops all of them after they have saved. `lease` is the sweep's.
/// Returns kFinished where all are done, kFailure where any failed, kStopped where some are to be
/// gone on with. Throws LeaseLost where another process took the sweep over; the runs have stopped
/// then.
ExitCode run_locally(const SweepFolder& folder, const std::vector<SweepRun>& runs,
                     const LocalRequest& request, const Lease& lease, const StopSignal& signals,
                     SweepTable& table);

}  // namespace mixspan
