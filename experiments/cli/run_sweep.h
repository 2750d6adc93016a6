// What `mixspan sweep` and `mixspan scale` share: the runs of a file, started and watched.
#pragma once

#include <filesystem>

#include "experiments/cli/commands.h"
#include "experiments/sweep/sweep_file.h"

namespace mixspan {

/// Plans, starts and watches the runs as the arguments say. kFinished when all are done, or when
/// they are only submitted or planned.
ExitCode run_sweep(const SweepFile& file, const SweepArgs& arguments);

/// The sweep's folder: --out, or runs/NAME.
std::filesystem::path sweep_out(const SweepFile& file, const SweepArgs& arguments);

}  // namespace mixspan
