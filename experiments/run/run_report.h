// What a run says of itself: in its log at the start, in result.json at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/trace.h"
#include "data/loader.h"
#include "experiments/run/metrics.h"
#include "experiments/run/run_config.h"
#include "experiments/run/step_traffic.h"
#include "experiments/run/trainer.h"

namespace mixspan {

/// Model, data, mesh, transports, one line each. `evaluation` may be null.
std::vector<std::string> describe_run(const RunConfig&, const Trainer&, const SampleSource& data,
                                      const EvaluationSource* evaluation);

struct RunResult {
  std::int64_t steps = 0;
  double loss = 0;  ///< of the last step
  std::optional<EvalMetrics> eval;
  double seconds = 0;                                   ///< since the run was started last
  std::size_t activation_bytes = 0, scratch_bytes = 0;  ///< most, on the first rank
  std::vector<LayerTraffic> layers;        ///< of the first rank, in its first step since then
  std::vector<StepTraffic::Axis> traffic;  ///< of the steps since then
  /// Where the time of the steps that were traced went, after log.trace_warmup_steps; of the first
  /// rank.
  std::vector<Tracer::Total> time;
};
/// What result.json holds. "transports": of each layer, and why; "traffic": bytes that all ranks
/// send in a step, and seconds that a rank waits, by axis. Neither is there on one rank. "time":
/// seconds of a step by what it was spent on, and how many steps were traced; with log.trace.
std::string to_json(const RunConfig&, const Trainer&, const RunResult&);

}  // namespace mixspan
