// One setting of a scaling study: what was measured of it, and what the plan says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/cost/plan.h"
#include "experiments/run/metrics.h"
#include "experiments/sweep/sweep_run.h"

namespace mixspan {

/// Seconds of a step by what they were spent on, on the first rank.
struct StepParts {
  double matmul = 0;
  double full_attention = 0;   ///< of layers that see everything
  double short_attention = 0;  ///< of all other layers
  double communication = 0;    ///< waiting for other ranks: what nothing hid
  double rest = 0;             ///< norms, embedding, optimizer, data
};

struct Measured {
  std::int64_t steps = 0;                              ///< after those that only warm up
  double step_ms = 0, fastest_ms = 0, slowest_ms = 0;  ///< step_ms: the median
  double tokens_per_s = 0;                             ///< at the median
  std::optional<double> mfu;                           ///< median; empty where no peak is known
  std::int64_t memory_bytes = 0;                       ///< most, of the first rank's process
  CommBytes comm_bytes;                                ///< of a step, sent by the first rank
  std::optional<StepParts> parts;                      ///< where the run was traced
};

struct Predicted {
  double step_ms = 0;
  std::int64_t memory_bytes = 0;  ///< of a rank
  CommBytes comm_bytes;           ///< of the rank that sends most
};

struct ScalePoint {
  SweepRun run;
  std::string variant;  ///< see name_variants()
  Predicted plan;
  std::optional<Measured> measured;  ///< empty: not run, or not finished
};

/// Of a finished run that wrote metrics at every step. The first `warmup` steps are left out. Empty
/// where the run is not finished; throws InputError where its files cannot be understood.
std::optional<Measured> measure_of(const std::filesystem::path& run_dir, std::int64_t warmup);

/// config.model.vocab is known. Throws InputError where the mesh is not possible.
Predicted predict_step(const RunConfig& config, const MachineFile& machine);

/// Gives each point its variant: its run's settings in the config's order, "key=value, key=value",
/// but for those that follow from the context (context_keys.h); "base" where there are no others.
void name_variants(std::vector<ScalePoint*> points);

}  // namespace mixspan
