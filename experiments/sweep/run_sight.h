// What can be seen of one run of a sweep from outside: in its folder, and in the batch system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/run/status.h"

namespace mixspan {

/// Jobs that the batch system knows and has not ended: their ids, as job_id() gives them, and what
/// it says of each ("PENDING").
using JobStates = std::map<std::string, std::string>;

struct RunSight {
  std::string name;
  /// Empty: the run was never started. Running and saving mean that a process is alive, or that
  /// nothing says it is not; a run whose process or job is gone is interrupted.
  std::optional<RunState> state;
  std::int64_t step = 0, steps = 0;
  std::int64_t restarts = 0;
  std::optional<double> train_loss, eval_loss;  ///< the last ones
  std::optional<double> left_s;  ///< until a running run is done, at the pace of its last steps
  std::string job_id, note;
  bool alive_here = false;  ///< a process of this host writes there now
};

/// "missing", "running", ...
std::string_view state_name(const RunSight& sight);
/// Whether starting the sweep again would start this run: missing, failed or interrupted.
bool needs_start(const RunSight& sight);

/// Looks at the state alone. `jobs` is null where the batch system cannot be asked: then a run that
/// says it is queued or running in a job is believed. Throws nothing for a damaged status.json; the
/// note says so.
RunSight look_at_state(const std::filesystem::path& run_dir, const std::string& name,
                       const JobStates* jobs);
/// Also at steps, losses and the time left.
RunSight look_at(const std::filesystem::path& run_dir, const std::string& name,
                 const JobStates* jobs);

/// The last evaluation loss of a finished run; empty where it is not finished or held nothing out.
std::optional<double> final_eval_loss(const std::filesystem::path& run_dir);

}  // namespace mixspan
