// What the ranks sent each other in training steps: by axis, and by layer against what was planned.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/run/metrics.h"
#include "experiments/run/trainer.h"
#include "parallel/mesh.h"

namespace mixspan {

/// Bytes of keys, values and their gradients that this rank sends in a step.
struct LayerTraffic {
  std::int64_t layer = 0;
  std::string span;
  Transport transport = Transport::local;
  /// By the formulas of parallel/exchange_bytes.h, which count spans alone: documents that do not
  /// see each other make a halo send less.
  std::int64_t planned = 0;
  std::int64_t sent = 0;
};
/// What is planned for each layer of this rank, with what the cp axis has counted since
/// reset_traffic(): a step, where that is what ran since. No other use of that axis has a layer.
std::vector<LayerTraffic> layer_traffic(const RunConfig&, const Trainer&);
/// "layer 3 sliding:128 halo: planned 1.2M, sent 1.2M a step"
std::string describe(const LayerTraffic&);

/// Counts what training steps send, and nothing else that a run does.
class StepTraffic {
 public:
  explicit StepTraffic(const Mesh& mesh) : mesh_(mesh) {}
  void begin_step();  ///< resets the counts of the axes
  void end_step();

  std::int64_t steps() const { return steps_; }
  /// Of the last step, by this rank.
  CommBytes last_bytes() const { return last_; }
  struct Axis {
    std::string name;
    double bytes = 0;         ///< of a step, by all ranks together
    double wait_seconds = 0;  ///< of a step, of a rank, inside wait()
  };
  /// Means over the steps so far, of tp, cp and dp_cp. A collective call.
  std::vector<Axis> totals() const;

 private:
  struct Sum {
    std::int64_t bytes = 0;
    double wait_seconds = 0;
  };
  const Mesh& mesh_;
  std::int64_t steps_ = 0;
  CommBytes last_;
  Sum tp_, cp_, dp_cp_;  // over the steps
};

}  // namespace mixspan
