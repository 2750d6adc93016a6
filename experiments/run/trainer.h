// One training run's arithmetic: a step, an evaluation, and what must be saved between them.
#pragma once

#include <functional>
#include <vector>

#include "core/arena.h"
#include "core/exec.h"
#include "core/named_view.h"
#include "data/loader.h"
#include "experiments/run/optimizer.h"
#include "experiments/run/run_config.h"
#include "experiments/run/schedule.h"
#include "layers/model.h"

namespace mixspan {

struct StepReport {
  std::int64_t step = 0;    ///< steps done, this one included
  std::int64_t tokens = 0;  ///< read in this step
  double loss = 0;          ///< mean over the step's targets, natural log
  double grad_norm = 0;     ///< before clipping
  double lr = 0;
  double flops = 0;  ///< what the step's mathematics needs (ModelFlops::model)
};

class Trainer {
 public:
  /// `config` is validated and its model.vocab known. Weights are drawn from train.seed.
  Trainer(const Exec&, const RunConfig& config, const SampleSource& data);

  /// One optimiser step; `step` counts from 0. Throws Error, naming where it first appeared, when
  /// the loss or a gradient is not finite; no weight has moved then.
  StepReport step(std::int64_t step);

  Model& model() { return model_; }
  /// Everything a checkpoint holds: model/NAME, adam_m/NAME, adam_v/NAME.
  std::vector<NamedView> state();
  std::int64_t micro_rows() const { return micro_rows_; }
  const Arena& activations() const { return activations_; }

 private:
  double flops(const Batch& batch) const;
  [[noreturn]] void report_nonfinite(std::int64_t step, const Batch& batch, double loss);

  Exec exec_;
  const RunConfig& config_;
  const SampleSource& data_;
  Model model_;
  Optimizer optimizer_;
  ScheduleConfig schedule_;
  std::int64_t micro_rows_;
  Arena activations_;
};

}  // namespace mixspan
