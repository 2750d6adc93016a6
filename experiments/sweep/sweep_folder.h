// The folder of a sweep.
//   OUT/sweep.toml           the sweep file as it was given last
//       configs/NAME.toml    the resolved config of each run
//       runs/NAME/           its run directory
//       logs/NAME.log        what the local launcher's process of it printed
//       slurm/               job scripts, their lists of runs, logs of jobs
//       launch.toml          how it was started last
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/sweep/run_sight.h"
#include "experiments/sweep/sweep_run.h"
#include "experiments/sweep/undo.h"

namespace mixspan {

class SweepFolder {
 public:
  /// Makes OUT and what belongs in it where it is not there. Throws InputError, one line, where it
  /// cannot be written: no permission, no room, a quota that is used up; or where it has files by
  /// the names of a sweep's that are not a sweep's. launch.toml is what tells: write it next.
  /// `undo`, here and below, can put back all that is done.
  static SweepFolder make(const std::filesystem::path& out, Undo& undo);
  /// Throws InputError where OUT is not a sweep's folder.
  static SweepFolder open(const std::filesystem::path& out);

  const std::filesystem::path& path() const { return path_; }  ///< absolute
  std::filesystem::path sweep_file() const { return path_ / "sweep.toml"; }
  std::filesystem::path launch_file() const { return path_ / "launch.toml"; }
  std::filesystem::path slurm() const { return path_ / "slurm"; }
  std::filesystem::path config(const std::string& run) const;
  std::filesystem::path run_dir(const std::string& run) const { return path_ / "runs" / run; }
  std::filesystem::path log(const std::string& run) const;

  /// Throws InputError, naming run, key and both values, where one of the runs has begun with
  /// another config than it has now, apart from what a run may change (see may_change()).
  void require_same_configs(const std::vector<SweepRun>& runs) const;
  /// Replaces what is different. Configs of runs that are not among these and never began go; what
  /// has begun stays. A finished run that is now to have more steps or other evaluations is open
  /// again. Throws as make() does.
  void write(const std::string& sweep_toml, const std::vector<SweepRun>& runs, Undo& undo) const;

  /// Of all runs that have a config, sorted so that step-2 comes before step-10.
  std::vector<std::string> names() const;
  /// The ids of the jobs that unfinished runs say they are in.
  std::vector<std::string> job_ids(const std::vector<std::string>& names) const;
  /// In the order of `names`.
  std::vector<RunSight> look(const std::vector<std::string>& names, const JobStates* jobs) const;

 private:
  explicit SweepFolder(const std::filesystem::path& path);
  std::filesystem::path path_;
};

/// The jobs of a sweep, if Slurm was asked for them.
struct KnownJobs {
  bool asked = false;
  JobStates states = {};
  const JobStates* get() const { return asked ? &states : nullptr; }
};
/// Does not ask where this machine has no Slurm, or no unfinished run names a job. Throws Error
/// where Slurm does not answer.
KnownJobs known_jobs(const SweepFolder& folder, const std::vector<std::string>& names);

/// The last evaluation loss of `run` in the sweep's folder `out`; empty where it is not finished,
/// held nothing out, or has results of another config than it has now.
std::optional<double> loss_of(const std::filesystem::path& out, const SweepRun& run);

/// The names of `runs`, in their order.
std::vector<std::string> names_of(const std::vector<SweepRun>& runs);

}  // namespace mixspan
