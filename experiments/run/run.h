// One rank of `mixspan train`, from its config to its result.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/loader.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/machine.h"
#include "experiments/run/metrics.h"
#include "experiments/run/progress.h"
#include "experiments/run/run_directory.h"
#include "experiments/run/step_traffic.h"
#include "experiments/run/stop_signal.h"
#include "experiments/run/tensorboard.h"
#include "experiments/run/train.h"
#include "experiments/run/trainer.h"
#include "parallel/mesh.h"
#include "parallel/nccl.h"

namespace mixspan {

/// Every rank has one and they do the same; only the first one has the run's directory and says
/// anything.
class Run {
 public:
  /// Collective calls, like all of a run.
  Run(const TrainRequest& request, const StopSignal& signals, const Mesh& mesh, Device device);
  ExitCode go();  ///< see train()

 private:
  using Clock = std::chrono::steady_clock;

  ExitCode train_and_finish();
  std::string join_devices();
  std::string initial_weights();
  std::filesystem::path checkpoints() const { return run_dir_ / "checkpoints"; }
  void resume();
  int reason_to_stop() const;
  StepReport timed_step();
  void compare_with_plan();
  double measured_peak();
  Exec exec();
  std::int64_t memory_bytes();
  std::vector<NamedConstView> run_state();
  void say(const std::string& line);
  void describe();
  void log_step(const StepReport& report);
  void evaluate_now(std::int64_t step);
  void save(std::int64_t step);
  void write_trace() const;
  void write_profile();
  void finish(std::int64_t step);

  Clock::time_point begin_ = Clock::now();
  const std::filesystem::path run_dir_;
  const StopSignal& signals_;
  const Mesh& mesh_;
  Machine machine_;
  const std::string note_;
  std::optional<NcclFunctions> nccl_;
  std::string device_messages_;  // how they travel
  const bool measure_peak_;
  bool profiling_;
  std::unique_ptr<SampleSource> data_;
  RunConfig config_;
  std::unique_ptr<EvaluationSource> eval_data_;
  Trainer trainer_;
  std::string started_from_;  // the checkpoint of train.init_from, read before anything is written
  std::optional<RunDirectory> dir_;  // the first rank's
  std::optional<ProgressPrinter> progress_;
  StepTraffic traffic_;
  std::vector<LayerTraffic> layers_;                             // of the first step
  Tensor digest_{{1}, DType::i64}, last_loss_{{1}, DType::f64};  // as checkpoints hold them
  double peak_flops_ = 0;
  std::int64_t step_ = 0;  // done
  std::int64_t saved_step_ = -1, evaluated_step_ = -1;
  double window_seconds_ = 0;  // of the steps since the last line
  std::int64_t window_steps_ = 0;
  std::optional<EvalMetrics> last_eval_;
  std::optional<MetricsWriter> metrics_;
  std::optional<TensorBoardWriter> board_;
};

}  // namespace mixspan
