// The script of a job array whose tasks are runs of a sweep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "experiments/sweep/launch_config.h"

namespace mixspan {

/// Runs that need the same of the cluster.
struct SlurmArray {
  std::string name;                   ///< of the job
  std::int64_t ranks = 1;             ///< of each run
  bool on_gpus = false;               ///< each rank has one
  std::size_t tasks = 1;              ///< runs; task k is on line k + 1 of slurm/runs-JOB.txt
  std::filesystem::path folder;       ///< of the sweep, absolute
  std::filesystem::path program;      ///< mixspan, absolute
  std::filesystem::path working_dir;  ///< where the runs start, absolute
};

/// What sbatch takes: options, then the job. A task runs its run by srun; on the signal before the
/// time limit it has the run save and stop, and goes back to the queue, until max_restarts are used
/// up. Throws InputError, naming the key, where nodes x tasks_per_node cannot hold the ranks, where
/// ranks would have no GPU of their own, and for a text that would break out of its line.
std::string array_script(const SlurmLaunch& launch, const SlurmArray& array);

/// `text` as one word of bash.
std::string shell_word(const std::string& text);

}  // namespace mixspan
