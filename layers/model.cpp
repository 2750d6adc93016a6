#include "layers/model.h"

#include <algorithm>
#include <numeric>

#include "core/copy.h"
#include "core/trace.h"
#include "kernels/embedding.h"
#include "kernels/positions.h"

namespace mixspan {

namespace {

ParamSpec table(const char* name, std::int64_t rows, const ModelConfig& c, ParamSplit split = {}) {
  return {name, {rows, c.width}, Init::normal, c.init_std, true, split};
}

ParamId next_param(const ParamList& list) { return static_cast<ParamId>(list.specs().size()); }

std::vector<Block> make_blocks(const ModelConfig& c, const ModelParallel& parallel, ParamList& list,
                               std::vector<ParamId>& first_params) {
  std::vector<Block> blocks;
  for (const AnySpan& span : layer_spans(c)) {
    first_params.push_back(next_param(list));
    const LayerPlace place{static_cast<std::int64_t>(blocks.size()), &parallel};
    blocks.emplace_back(place, c, span, list);
  }
  first_params.push_back(next_param(list));
  return blocks;
}

ConstView flat(ConstView v) { return v.reshape({v.size()}); }

std::string traced_layer(const Exec& ex, std::size_t layer) {
  return ex.tracer == nullptr ? "" : "layer " + std::to_string(layer);
}

}  // namespace

ParamList declared_params(const ModelConfig& c) {
  ParamList list;
  const ModelParallel alone;
  std::vector<ParamId> first_params;
  const ParamId wte = list.add(table("wte.weight", c.vocab, c, {0}));
  list.add(table("wpe.weight", c.context, c));
  make_blocks(c, alone, list, first_params);
  Head(c, alone, wte, list);
  return list;
}

Model::Model(const ModelConfig& c, Params::Gradients gradients, const ModelParallel& parallel,
             ParamStorage storage)
    : config_(c),
      parallel_(std::make_unique<const ModelParallel>(parallel)),
      recompute_(parse_recompute(c.recompute)),
      wte_(declared_.add(table("wte.weight", c.vocab, c, {0}))),
      wpe_(declared_.add(table("wpe.weight", c.context, c))),
      blocks_(make_blocks(c, *parallel_, declared_, first_params_)),
      head_(c, *parallel_, wte_, declared_),
      params_(std::make_unique<Params>(declared_, gradients, parallel.tp.part(), storage)) {}

std::pair<ParamId, ParamId> Model::params_of(std::int64_t layer) const {
  const auto first = [&](std::int64_t l) {
    return l < 0 ? wte_ : first_params_[static_cast<std::size_t>(l)];
  };
  return {first(layer), layer < config_.layers ? first(layer + 1) : next_param(declared_)};
}

Range Model::flat_range(std::int64_t layer) const {
  const auto [first, end] = params_of(layer);
  return params_->flat_range(first, end);
}

std::int64_t Model::held_rows(const ModelInput& in) const {
  return parallel_->tp.rows(in.sequence().rows()).size();
}

// Each tp rank looks up the tokens it holds; the first one adds the positions; the sum is both.
void Model::embed(const Exec& ex, View x, const ModelInput& in) const {
  const Arena::Scope scope(ex.scratch);
  const TensorParallel& tp = parallel_->tp;
  const View sum = tp.partial(ex, x, in.sequence().rows());
  embedding_forward(ex, sum, flat(in.tokens), flat(in.positions), params_->weight(wte_),
                    tp.part().index == 0 ? params_->weight(wpe_) : View(),
                    tp.vocab_shard(config_.vocab));
  tp.reduce(ex, {"embeddings"}, x, sum);
}

View Model::forward(const Exec& ex, const ModelInput& in, Activations& kept) const {
  const Sequence s = in.sequence();
  const Shape shape{held_rows(in), config_.width};
  kept.x_.push_back(kept.arena_.allocate("x", shape, storage_dtype(ex)));
  embed(ex, kept.x_.back(), in);
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    const std::string name = traced_layer(ex, l);
    const TraceRange range(ex.tracer, name);
    kept.blocks_.emplace_back(&kept.arena_, kept.policy_);
    const View y = kept.arena_.allocate("x", shape, storage_dtype(ex));
    blocks_[l].forward(ex, *params_, y, kept.x_.back(), s, kept.blocks_.back());
    kept.x_.push_back(y);
  }
  return kept.x_.back();
}

void Model::backward(const Exec& ex, View dh, const ModelInput& in, const Activations& kept,
                     const std::function<void(std::int64_t)>& ready) const {
  for (std::size_t l = blocks_.size(); l-- > 0;) {
    const std::string name = traced_layer(ex, l);
    const TraceRange range(ex.tracer, name);
    blocks_[l].backward(ex, *params_, dh, kept.x_[l], in.sequence(), kept.blocks_[l]);
    if (ready) ready(static_cast<std::int64_t>(l));
  }
  const Arena::Scope scope(ex.scratch);
  const TensorParallel& tp = parallel_->tp;
  const ConstView dx = tp.gather(ex, {"d embeddings"}, dh, in.sequence().rows());
  embedding_backward(ex, params_->grad(wte_), params_->grad(wpe_), dx, flat(in.tokens),
                     flat(in.positions), tp.vocab_shard(config_.vocab));
  if (ready) ready(-1);
}

void Model::sum_gradients_by_rows(const Exec& ex, std::int64_t layer) const {
  if (!parallel_->tp.splits_rows()) return;
  const auto [first, end] = params_of(layer);
  std::vector<View> grads;
  std::int64_t size = 0;
  for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(end); ++i) {
    if (!params_->specs()[i].gradient_by_rows) continue;
    grads.push_back(params_->grad(static_cast<ParamId>(i)));
    size += grads.back().size();
  }
  if (grads.empty()) return;
  const Arena::Scope scope(ex.scratch);
  const View all = ex.scratch.allocate("gradients by rows", {size});
  const auto for_each = [&](auto&& body) {
    std::int64_t at = 0;
    for (const View& g : grads) {
      body(all.slice(0, at, at + g.size()), g.reshape({g.size()}));
      at += g.size();
    }
  };
  for_each([&](View packed, View grad) { copy(ex, packed, grad); });
  parallel_->tp.comm().all_reduce_sum({"gradients by rows", layer}, all).wait();
  for_each([&](View packed, View grad) { copy(ex, grad, packed); });
}

View Model::infer(const Exec& ex, const ModelInput& in) const {
  const View x = ex.scratch.allocate("x", {held_rows(in), config_.width}, storage_dtype(ex));
  embed(ex, x, in);
  for (const Block& block : blocks_) {
    Saved nothing(nullptr, Recompute::full);
    block.forward(ex, *params_, x, x, in.sequence(), nothing);
  }
  return x;
}

std::size_t Model::State::size_bytes() const {
  return std::accumulate(mixers.begin(), mixers.end(), std::size_t{0},
                         [](std::size_t n, const auto& m) { return n + m->size_bytes(); });
}

Model::State Model::start(const Exec& ex, std::int64_t B, std::int64_t capacity) const {
  check(capacity <= config_.context, "a text of {} tokens for a model of context {}", capacity,
        config_.context);
  State state{{}, B, 0, capacity};
  for (const Block& block : blocks_) state.mixers.push_back(block.make_state(ex, B, capacity));
  return state;
}

void Model::extend(const Exec& ex, View logits, ConstView tokens, State& state) const {
  const Arena::Scope scope(ex.scratch);
  const std::int64_t B = state.B, T = tokens.dim(1), C = config_.width;
  check(state.length + T <= state.capacity, "a text of {} tokens in room for {}", state.length + T,
        state.capacity);
  const View positions = ex.scratch.allocate("positions", {B, T}, DType::i32);
  fill_positions(ex, positions, state.length);
  const ModelInput in{tokens, positions, {}};
  const View x = ex.scratch.allocate("x", {B * T, C}, storage_dtype(ex));
  embed(ex, x, in);
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    blocks_[l].extend(ex, *params_, x, in.sequence(), state.length, *state.mixers[l]);
  }
  state.length += T;
  for (std::int64_t b = 0; b < B; ++b) {  // only the last token of each text is asked
    head_.logits(ex, *params_, logits.slice(0, b, b + 1), x.slice(0, (b + 1) * T - 1, (b + 1) * T));
  }
}

}  // namespace mixspan
