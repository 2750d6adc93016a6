// One training run's arithmetic: a step, an evaluation, and what must be saved between them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/arena.h"
#include "core/exec.h"
#include "core/named_view.h"
#include "data/loader.h"
#include "experiments/run/checkpoint.h"
#include "experiments/run/local_batch.h"
#include "experiments/run/optimizer.h"
#include "experiments/run/run_config.h"
#include "experiments/run/run_plan.h"
#include "experiments/run/schedule.h"
#include "layers/model.h"
#include "parallel/grad_sync.h"
#include "parallel/mesh.h"

namespace mixspan {

struct StepReport {
  std::int64_t step = 0;    ///< steps done, this one included
  std::int64_t tokens = 0;  ///< read in this step, on all ranks
  double loss = 0;          ///< mean over the step's targets, natural log
  double grad_norm = 0;     ///< before clipping
  double lr = 0;
  double flops = 0;  ///< what the step's mathematics needs (ModelFlops::model), on all ranks
};

/// Every rank of the mesh makes the same calls; the numbers they report are the same on all.
class Trainer {
 public:
  /// `config` is validated, its model.vocab known and its precision that of the Exec, whatever that
  /// says. Weights are drawn from train.seed. `mesh`
  /// is the config's and must outlive the trainer.
  Trainer(const Exec&, const RunConfig& config, const SampleSource& data, const Mesh& mesh);
  /// On one rank.
  Trainer(const Exec&, const RunConfig& config, const SampleSource& data);

  /// One optimiser step; `step` counts from 0. Throws Error, naming where it first appeared, when
  /// the loss or a gradient is not finite; no weight has moved then.
  StepReport step(std::int64_t step);

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  const Mesh& mesh() const { return mesh_; }
  const RunPlan& plan() const { return plan_; }  ///< see plan_of()
  const SequenceLayout& layout() const { return layout_; }

  /// Calls `put` on the first rank, on no other, with every tensor that a checkpoint holds, whole,
  /// by rising name: adam_m/NAME, adam_v/NAME, model/NAME.
  /// The tensors of `extra` go among them.
  void collect_state(const PutTensor& put, std::span<const NamedConstView> extra = {}) const;
  /// Takes this rank's part of every tensor that collect_state() names.
  void restore_state(const Checkpoint&);
  /// Takes the weights alone.
  void restore_weights(const Checkpoint&);

  std::int64_t micro_rows() const { return plan_.micro_rows; }
  const Arena& activations() const { return activations_; }
  /// Of the weights, their copies, the gradients and the moments that this rank holds.
  std::size_t state_bytes() const;

 private:
  Trainer(const Exec&, const RunConfig&, const SampleSource&, std::unique_ptr<Mesh> own,
          const Mesh* given);

  double run_micro_batches(const LocalBatch& local, double num_targets);
  void sync_layer(std::int64_t layer);
  double grad_norm() const;
  struct FlatState;
  FlatState flat_state(const std::string& group) const;
  ConstView whole_param(ParamId id, const FlatState&, Tensor& memory) const;
  void restore_moment(const Checkpoint&, const std::string& group);
  double flops(const Batch& batch) const;
  [[noreturn]] void report_nonfinite(std::int64_t step, const LocalBatch& local, double loss);

  Exec exec_;
  const RunConfig& config_;
  const SampleSource& data_;
  std::unique_ptr<Mesh> own_mesh_;  // where none was given
  const Mesh& mesh_;
  RunPlan plan_;
  SequenceLayout layout_;
  Model model_;
  GradSync sync_;
  Optimizer optimizer_;
  ScheduleConfig schedule_;
  std::int64_t rows_;  // of the batch, that this dp rank works on
  Tensor losses_;      // of their positions that this cp rank has
  Arena activations_;
  BatchStaging staging_;
};

}  // namespace mixspan
