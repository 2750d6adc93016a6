// A training step on a device as a run makes it, from its tokens to the new weights: what it takes,
// and whether its memory is what the plan says.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "experiments/run/trainer.h"
#include "tests/bench/random_tokens.h"

namespace mixspan::bench {

/// GPT-Neo 1.3B's shape in bf16: 24 layers of width 2048 with 16 heads of 128, the first 4 full and
/// 20 sliding:512; one sequence of T tokens; no gradient is kept from step to step. The vocabulary
/// is padded to 50304, as PyTorch wants it to be fast (gpu_peers.py).
RunConfig step_of_1b3(std::int64_t T);

/// The first of model.recompute's none, selective, products and full with which the plan's memory
/// is at most `bytes`; full where none is.
std::string recompute_that_fits(RunConfig config, std::int64_t bytes);

class TrainingStep {
 public:
  /// Steps over random tokens. `config` is complete but for device, which is the Exec's.
  TrainingStep(const Exec&, RunConfig config);

  /// Seconds of one step, from the host's rows to the device's being done.
  double seconds();
  /// Median of `repeats` after `warmup` that are not counted.
  double median_seconds(int repeats, int warmup);

  const RunConfig& config() const { return config_; }
  double flops() const { return report_.flops; }  ///< of a step, as MFU counts them
  double loss() const { return report_.loss; }
  std::int64_t tokens() const { return config_.train.batch_tokens; }
  std::int64_t parameters() const;

  /// Bytes, measured after a step beside those of the plan.
  struct Memory {
    std::int64_t state = 0, planned_state = 0;  ///< weights, copies, gradients, moments
    std::int64_t activations = 0, planned_activations = 0;
    std::int64_t scratch = 0, planned_scratch = 0;
  };
  Memory memory() const;

 private:
  Exec exec_;
  RunConfig config_;
  RandomTokens data_;
  Trainer trainer_;
  StepReport report_;
  std::int64_t step_ = 0;
};

/// A table of one line for each step that is measured, written at once. peak: FLOP/s, 0 where it is
/// not known.
void print_step_heading(std::FILE* out);
void print_step(std::FILE* out, const std::string& name, const TrainingStep& step, double seconds,
                double peak);

/// The protocol of bench_turns (tests/bench/turns.cpp): says "ready 1 PARAMETERS" after a first
/// step, then for each line of `in` the seconds of one step, at the end "peak 0 BYTES" with the
/// bytes taken from the device.
void take_turns(TrainingStep& step, std::FILE* in, std::FILE* out);

}  // namespace mixspan::bench
