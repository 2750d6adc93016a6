// What the runs of a sweep will cost, before one of them runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/cost/machine_file.h"
#include "experiments/sweep/sweep_run.h"

namespace mixspan {

struct PlannedRun {
  std::string name;
  std::int64_t ranks = 1;
  std::string problem;         ///< one line that says why it cannot run; "": it can
  double attention_share = 0;  ///< attention FLOPs over those with all layers full
  // What follows is 0 where it cannot be known: the mesh is impossible, or the data is not there.
  double step_flops = 0;          ///< model FLOPs of a step on all ranks
  std::int64_t memory_bytes = 0;  ///< of the rank that needs most
  double step_seconds = 0;
  double seconds = 0;  ///< all steps; without evaluation, checkpoints and the start
};

/// A plan for each run, in their order. `jobs` of them run at a time and divide what `machine` says
/// is shared. Opens the data of each data.train and context once, for its vocabulary; relative
/// paths begin at `paths`.
std::vector<PlannedRun> plan_runs(const std::vector<SweepRun>& runs, const MachineFile& machine,
                                  std::int64_t jobs = 1, const std::filesystem::path& paths = {});

/// Seconds until the last run ends when each starts as soon as one of `jobs` places is free, in
/// this order; those with a problem take none.
double time_of(const std::vector<PlannedRun>& plans, std::int64_t jobs);

/// A line of at most 100 columns for each run, long names by their end; then totals, and each
/// reason why runs cannot run, with their names.
std::string dry_run_table(const std::vector<PlannedRun>& plans, const std::string& machine,
                          std::int64_t jobs);

}  // namespace mixspan
