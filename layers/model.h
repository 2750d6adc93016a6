// The decoder: embeddings, blocks with a span each, head. Radford et al. 2019 (GPT-2), Black et al.
// 2021 (GPT-Neo).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/arena.h"
#include "core/exec.h"
#include "layers/block.h"
#include "layers/head.h"
#include "layers/model_config.h"
#include "layers/params.h"

namespace mixspan {

/// What goes in, lying where the model does. tokens, positions: (B, T) i32. document_start: (B, T)
/// i32, or empty. T: positions that this rank holds.
struct ModelInput {
  ConstView tokens, positions, document_start;
  const SequenceSplit* split = nullptr;  ///< null: T is all of the sequence
  Sequence sequence() const { return {tokens.dim(0), tokens.dim(1), document_start, split}; }
};

/// What a forward leaves for the backward of the same input. Its memory returns to the arena when
/// it goes.
class Activations {
 public:
  Activations(Arena& arena, Recompute policy) : arena_(arena), scope_(arena), policy_(policy) {}

  /// hidden()[l] (mine, C): what block l read of this rank's rows; the last one: what the head
  /// read.
  const std::vector<View>& hidden() const { return x_; }

 private:
  friend class Model;
  Arena& arena_;
  Arena::Scope scope_;
  Recompute policy_;
  std::vector<View> x_;
  std::vector<Saved> blocks_;
};

/// What a model of this config declares, without the memory of one.
ParamList declared_params(const ModelConfig&);

class Model {
 public:
  /// What `parallel` names must outlive the model.
  Model(const ModelConfig&, Params::Gradients, const ModelParallel& parallel = {},
        ParamStorage storage = {});

  const ModelConfig& config() const { return config_; }
  const Block& block(std::int64_t layer) const { return blocks_[static_cast<std::size_t>(layer)]; }
  const Head& head() const { return head_; }
  Params& params() { return *params_; }
  const Params& params() const { return *params_; }
  const ModelParallel& parallel() const { return *parallel_; }
  Recompute recompute() const { return recompute_; }
  /// Where in the flat buffers a layer's parameters lie; -1: the embeddings', layers: the final
  /// norm's. Together they cover everything.
  Range flat_range(std::int64_t layer) const;

  /// The hidden states (mine, C) that the head reads, those of this tp rank's rows; they live in
  /// the activations.
  View forward(const Exec&, const ModelInput&, Activations&) const;
  /// dh: gradient of those, used up. Adds every parameter's gradient but the head's; calls
  /// ready(layer) as soon as this rank's share of that layer's are complete, last layer first, -1
  /// for the embeddings.
  void backward(const Exec&, View dh, const ModelInput&, const Activations&,
                const std::function<void(std::int64_t)>& ready = {}) const;
  /// Sums over the tp ranks those gradients of a layer (see flat_range) that cover this rank's rows
  /// only; nothing where the rows are not split. Before gradients are summed over other axes.
  void sum_gradients_by_rows(const Exec&, std::int64_t layer) const;
  /// Hidden states without keeping anything for a backward pass; they live in ex.scratch.
  View infer(const Exec&, const ModelInput&) const;

  /// Texts being generated, all of one length.
  struct State {
    std::vector<std::unique_ptr<MixerState>> mixers;
    std::int64_t B = 0, length = 0, capacity = 0;  ///< tokens so far, tokens at most
    std::size_t size_bytes() const;
  };
  /// State for B texts of at most `capacity` tokens (<= context).
  State start(const Exec&, std::int64_t B, std::int64_t capacity) const;
  /// Adds tokens (B, T) i32 to the texts (T > 1 only for the first call) and overwrites logits
  /// (B, V), of storage_dtype(), with those of the next token.
  void extend(const Exec&, View logits, ConstView tokens, State&) const;

 private:
  std::pair<ParamId, ParamId> params_of(std::int64_t layer) const;  // the first, and past the last
  std::int64_t held_rows(const ModelInput&) const;
  void embed(const Exec&, View x, const ModelInput&) const;

  ModelConfig config_;
  std::unique_ptr<const ModelParallel> parallel_;  // layers point to it
  Recompute recompute_;
  ParamList declared_;  // filled by the members below, then handed to params_
  ParamId wte_, wpe_;
  std::vector<ParamId> first_params_;  // of each block, and of the head; filled by the next
  std::vector<Block> blocks_;
  Head head_;
  std::unique_ptr<Params> params_;
};

}  // namespace mixspan
