// Slurm's commands, as far as a sweep needs them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "experiments/sweep/run_sight.h"

namespace mixspan {

/// Whether this machine has Slurm's commands.
bool has_slurm();
/// Throws InputError, naming the command that PATH lacks.
void require_slurm();

/// Hands `script` to sbatch. Returns the number of the job. Throws InputError with sbatch's own
/// words where it refuses.
std::string submit(const std::filesystem::path& script);

/// Those of the jobs with these ids ("12", "12_3") that have not ended. Throws Error with squeue's
/// words where Slurm does not answer.
JobStates unfinished_jobs(const std::vector<std::string>& ids);

/// Throws Error with scancel's words where it fails. Jobs that have ended are passed over.
void cancel_jobs(const std::vector<std::string>& ids);

/// MaxArraySize of this cluster: tasks of an array are numbered 0 .. MaxArraySize - 1. 1001, which
/// is Slurm's default, where it does not tell.
std::int64_t max_array_size();

}  // namespace mixspan
