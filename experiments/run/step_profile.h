// Where the time of training steps went, part by part and layer by layer, against what the machine
// could do: `mixspan train --profile`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/exec.h"
#include "core/trace.h"
#include "experiments/cost/plan.h"
#include "experiments/run/metrics.h"
#include "experiments/run/step_parts.h"

namespace mixspan {

/// What the machine can do at best; zeros: not known.
struct MachinePeaks {
  double flops = 0;        ///< FLOP/s of large matrix products, in the run's precision
  double bytes_per_s = 0;  ///< memory, reading and writing together
};
/// Takes half a second.
MachinePeaks measure_peaks(const Exec&);

/// Seconds of one step, mean over `steps`, on one rank.
struct StepProfile {
  /// A warm-up, then so many steps.
  static constexpr std::int64_t kWarmup = 2, kSteps = 5;

  struct Row {
    Part part;
    double seconds = 0;
    PartWork work;          ///< of the part at least; communication: bytes sent
    double roofline_s = 0;  ///< the least time that the peaks allow for it; 0: none is known
  };
  struct Layer {
    std::string span;
    double gemm_s = 0, attention_s = 0, elementwise_s = 0;  ///< forward and backward
  };

  std::int64_t steps = 0;
  double step_s = 0;      ///< by the clock of the host
  std::vector<Row> rows;  ///< of all parts but `other`
  std::vector<Layer> layers;
  std::size_t dropped = 0;  ///< ranges that had no room: their time is in `other`
  MachinePeaks peaks;
  std::string place;  ///< "cpu" or what the device is called

  double named_s() const;
  double other_s() const { return step_s - named_s(); }
};

/// Of the ranges that `tracer` has of steps after StepProfile::kWarmup. Its steps are those of a
/// Trainer whose plan is `plan`. `sent`: by this rank in a step. `place`: where it computes.
StepProfile profile_of(const Tracer& tracer, const RunPlan& plan, const CommBytes& sent,
                       const MachinePeaks& peaks, std::string place);

/// As a table: ms and share of the step, what was reached, the roofline and how many times longer
/// the part takes.
std::vector<std::string> to_lines(const StepProfile&);
/// What profile.json holds.
std::string to_json(const StepProfile&);

}  // namespace mixspan
