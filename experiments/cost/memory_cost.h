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
  std::int64_t exchange = 0;     ///< the most that a layer has of other ranks, beside what it keeps
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
///   halo        kept, a layer: 2 kv of the halo and of what else its readers read; at a time:
///   their
///               gradients, what is sent and what comes
///   ring        at a time: two blocks of 2 kv, three of their gradients and one of a chunk's
///   all_to_all  kept: q, k, v, o and lse of own heads, beside those of own rows; at a time:
///               gradients of q, k, v, o, and three of them on their way, rows and heads
///   gather      at a time: 2 kv of all rows, their gradients, and a message as large
RankMemory rank_memory(const ModelConfig& model, const ParallelConfig&, std::int64_t micro_rows,
                       const std::vector<LayerExchange>& layers, StepPlace place = {});

/// Numbers that a tp rank holds of the parameters, at most: of the embeddings, of each layer, of
/// the last norm; and of all.
std::vector<std::int64_t> held_by_layer(const ModelConfig& model, std::int64_t tp);
std::int64_t held_parameters(const ModelConfig& model, std::int64_t tp);

}  // namespace mixspan
