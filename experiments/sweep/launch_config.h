// How the runs of a sweep are started: the sections [local] and [slurm] of a sweep file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace mixspan {

/// Runs at a time that --jobs and local.jobs may ask for.
inline constexpr std::int64_t kMostJobs = 4096;

/// Processes on this machine.
struct LocalLaunch {
  std::int64_t jobs = 0;  ///< runs at a time; 0: one for every `cores` processors
  std::int64_t cores =
      0;  ///< processors of one run; 0: all of them divided by jobs, or, where that is 0 too, all
};

/// One array of jobs; each task is one run on its mesh. Texts that are empty and numbers that are 0
/// leave the choice to the cluster.
struct SlurmLaunch {
  std::string partition, account, qos, constraint;
  std::string time;                 ///< of one job, as sbatch takes it
  std::int64_t nodes = 0;           ///< of one run; 0: as its ranks need at tasks_per_node
  std::int64_t tasks_per_node = 0;  ///< ranks on a node
  std::int64_t cpus_per_task = 0;
  std::int64_t gpus_per_node = 0;
  std::string mem;                     ///< of a node, as sbatch takes it
  std::int64_t max_at_once = 0;        ///< array tasks that run at a time; 0: no limit
  std::int64_t signal_before_s = 120;  ///< before the time limit a run is told to save and stop
  std::int64_t max_restarts = 20;      ///< of one run, by signals, preemption and lost nodes
  std::vector<std::string> modules;    ///< loaded in this order
  std::vector<std::string> setup;      ///< shell lines before srun
  std::vector<std::string> sbatch;     ///< further options, such as "--exclusive"
  std::vector<std::string> srun = {"--mpi=pmix"};  ///< options of srun; a container's go here too
};

/// Seconds of a time limit as sbatch takes it: "90" (minutes), "90:00", "1:30:00", "2-12",
/// "2-12:30", "2-12:30:00". Throws InputError.
std::int64_t sbatch_seconds(std::string_view text);

/// What must hold between keys. Throws InputError: one line that begins with the key to change.
void validate(const SlurmLaunch& slurm);

/// Adds [local] and [slurm] to `schema`; the structs' values are the defaults.
void describe_launch(ConfigSchema& schema, LocalLaunch& local, SlurmLaunch& slurm);

}  // namespace mixspan
