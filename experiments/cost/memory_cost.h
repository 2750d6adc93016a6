// Bytes of memory that a rank needs to train, by what they are for.
#pragma once

#include <cstdint>
#include <vector>

#include "experiments/cost/parallel_config.h"
#include "kernels/span.h"
#include "parallel/exchange_plan.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

struct RankMemory {
  std::int64_t weights = 0;  ///< with the copy that kernels read where activations are bf16
  std::int64_t gradients = 0;
  std::int64_t optimizer = 0;    ///< Adam's two moments; under ZeRO-1 divided by dp x cp
  std::int64_t activations = 0;  ///< what forward keeps for backward, by model.recompute
  std::int64_t scratch = 0;      ///< the most that a layer or the head, with its logits, needs
  std::int64_t exchange = 0;     ///< keys and values of other ranks, and their gradients
  std::int64_t sums = 0;         ///< other ranks' gradients while they are added (GradSync)
  std::int64_t total() const {
    return weights + gradients + optimizer + activations + scratch + exchange + sums;
  }
};

/// One layer's keys and values: how they move decides what is held of others'.
struct LayerExchange {
  AnySpan span;
  Transport transport = Transport::local;
};

/// Of the rank that needs most. micro_rows: sequences computed at a time; `model` has its vocab.
/// Statistics of rows count as activations do. Left out: what attention's inner loops work with for
/// each thread, the batch's tokens, the program. Exchange buffers, in rows of keys and values (kv)
/// of all heads of a tp rank:
///   halo        kept: the halo's 2 kv a layer; at a time: as much for its gradients
///   ring        at a time: two blocks of 2 kv, and two of their gradients
///   all_to_all  kept: o of own heads beside o of own rows; at a time: gradients of q, k, v, o
///   gather      at a time: 2 kv of all rows, and their gradients
RankMemory rank_memory(const ModelConfig& model, const ParallelConfig&, std::int64_t micro_rows,
                       const std::vector<LayerExchange>& layers, StepPlace place = {});

/// Numbers that a tp rank holds of the parameters, at most: of the embeddings, of each layer, of
/// the last norm; and of all.
std::vector<std::int64_t> held_by_layer(const ModelConfig& model, std::int64_t tp);
std::int64_t held_parameters(const ModelConfig& model, std::int64_t tp);

}  // namespace mixspan
