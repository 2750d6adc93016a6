// What a run will cost before it runs: for each layer how its keys and values move, in how many
// bytes and how much of that shows; memory of a rank; time of a step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/cost/flops.h"
#include "experiments/cost/machine_file.h"
#include "experiments/cost/memory_cost.h"
#include "experiments/cost/parallel_config.h"
#include "experiments/cost/transport_cost.h"

namespace mixspan {

struct PlanRequest {
  ModelConfig model;  ///< valid, its vocab known
  ParallelConfig parallel;
  StepShape step;
  MachineFile machine;
};

/// Of one micro-batch on one rank, the one that has most of each.
struct LayerCost {
  AnySpan span;
  TransportChoice exchange;
  LayerFlops flops;      ///< forward
  double compute_s = 0;  ///< forward, backward and what is computed again
};

/// Bytes that the rank that sends most sends in a step, by axis.
struct AxisBytes {
  std::int64_t cp = 0, tp = 0, dp = 0;  ///< dp: gradients (and weights) over dp x cp
};

/// Seconds of a step.
struct StepTime {
  double compute = 0;             ///< products and attention
  double memory = 0;              ///< reading and writing what layers and optimiser touch
  double cp = 0, tp = 0, dp = 0;  ///< communication that nothing hides
  double total() const { return compute + memory + cp + tp + dp; }
};

/// What a part of a step must do at least, on the rank that has most of it.
struct PartWork {
  double flops = 0;
  double bytes = 0;  ///< read or written, each number as often as an operation's contract says
};

/// Of a step, what is computed again included. Bytes are counted of the parts that pass over memory
/// once and do little else; of matrix products and attention, operations.
struct StepWork {
  PartWork gemm;             ///< matrix products, the head's included
  PartWork full_attention;   ///< of layers that see everything
  PartWork short_attention;  ///< of all other layers
  PartWork elementwise;      ///< norms, GELU's own passes, embeddings, clearing gradients
  PartWork loss;             ///< softmax and its gradient, in the logits' place
  PartWork optimizer;        ///< AdamW and the gradients' norm
};

struct RunPlan {
  std::int64_t micro_rows = 0, micro_batches = 0;
  std::vector<LayerCost> layers;
  RankMemory memory;
  AxisBytes bytes;
  StepTime time;
  StepWork work;
  double tokens_per_s = 0;
  double model_flops = 0;  ///< of a step on all ranks, as ModelFlops::model
  double mfu = 0;          ///< of those over what all ranks' matrix products could do
};

/// Hides gradients' sum under the last micro-batch's backward; tp's messages and ZeRO's gathering
/// of weights are not hidden. Counts spans alone: documents that do not see each other only make it
/// less. Throws InputError with mesh_problem()'s line. Says nothing of
/// whether the memory is there.
RunPlan make_plan(const PlanRequest&);

/// Throws InputError unless the mesh has no problem, is of `ranks` ranks (0: any number) and fits
/// the machine's memory. One line, with the nearest meshes of as many ranks that would do.
RunPlan make_feasible_plan(const PlanRequest&, std::int64_t ranks = 0);

/// Throws InputError where a rank is predicted to need so much more memory than the machine has for
/// it that the prediction cannot be that wrong: by half. One line, as above.
void refuse_without_memory(const PlanRequest&);

}  // namespace mixspan
