#include "experiments/cost/memory_cost.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <string>

#include "kernels/matmul.h"
#include "layers/head.h"
#include "layers/model.h"
#include "parallel/grad_sync.h"

namespace mixspan {

namespace {

constexpr std::int64_t kFloat = 4;

std::int64_t bytes_of(DType dtype) { return static_cast<std::int64_t>(size_of(dtype)); }
std::int64_t sum(const std::vector<std::int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}
std::int64_t divided_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

/// Bytes of what the layers of a rank make; they are named as in layers/.
struct Sizes {
  std::int64_t rows;    ///< of a micro-batch inside the tp regions
  std::int64_t held;    ///< of those, outside
  std::int64_t number;  ///< bytes of a number of the activations
  std::int64_t hidden;  ///< (held, C)
  std::int64_t all;     ///< (rows, C), as gathered for a region
  std::int64_t inner;   ///< (rows, F / tp)
  std::int64_t heads;   ///< (rows, C / tp): queries, keys, values or attention's output
  std::int64_t lse;     ///< (rows, N / tp)
  std::int64_t sums;    ///< (rows, C / tp) in fp32: queries' gradients as they are added up
  std::int64_t width;   ///< C
  std::int64_t norm;    ///< (held) twice: mean and rstd
  bool gathers;         ///< regions gather rows and reduce partial sums
  Recompute policy;
  DeviceKind device;
  bool turns;  ///< forward products may turn the columns of weights into rows

  Sizes(const ModelConfig& m, const ParallelConfig& p, std::int64_t micro_rows,
        const SequenceLayout& layout, const StepPlace& place)
      : rows(micro_rows * layout.most_rows()),
        held(p.sequence_parallel ? divided_up(rows, p.tp) : rows),
        number(bytes_of(place.activations)),
        hidden(held * m.width * number),
        all(rows * m.width * number),
        inner(rows * row_stride(m.mlp() / p.tp, place.inner, place.device) * bytes_of(place.inner)),
        heads(rows * m.width / p.tp * number),
        lse(rows * m.heads / p.tp * kFloat),
        sums(place.fused_attention ? rows * m.width / p.tp * kFloat : 0),
        width(m.width),
        norm(2 * held * kFloat),
        gathers(p.sequence_parallel && p.tp > 1),
        policy(parse_recompute(m.recompute)),
        device(place.device),
        turns(device == DeviceKind::cpu && place.inner == DType::f32) {}

  std::int64_t dear() const { return hidden + 2 * norm + 4 * heads + lse + inner; }
  std::int64_t cheap() const { return 2 * hidden + inner; }  // both norms' outputs, GELU's
  std::int64_t dearest() const { return heads + lse; }
  std::int64_t kept() const {
    switch (policy) {
      case Recompute::none:
        return dear() + cheap();
      case Recompute::selective:
        return dear();
      case Recompute::products:
        return dearest();
      case Recompute::full:
        return 0;
    }
    return 0;
  }
  std::int64_t region() const { return gathers ? 3 * all : 0; }  // dy, x again, partial dx
  /// Of a layer's backward, with all that it rebuilds.
  std::int64_t backward() const {
    const std::int64_t again = runs_again(policy) ? dear() + cheap() - kept() : 0;
    const std::int64_t its_norm = policy == Recompute::selective ? hidden + norm : 0;
    return again + hidden + its_norm + std::max(inner, 4 * heads + sums) + region();
  }
  /// Of the head: normed, its gradient, mean and rstd, and a chunk of logits and what makes it.
  std::int64_t head(std::int64_t vocab) const {
    const std::int64_t chunk = logits_rows(rows, vocab, device);
    return 2 * hidden + (gathers ? 2 * all : 0) + norm +
           chunk * logits_stride(vocab, device) * number +
           (turns ? linear_scratch_bytes(chunk, vocab, width) : 0);
  }
};

/// Rows of keys (of one micro-batch) that a rank keeps beside its own for a layer's backward, and
/// has at a time; whether it keeps one more lse.
struct Foreign {
  std::int64_t kept = 0, at_a_time = 0;
  bool lse = false;
};

// Each chunk's halo lies before a copy of the keys that the queries which read it read too. Both
// gradients take as much; what is sent and what comes has buffers of its own.
Foreign halo_rows(const AnySpan& span, const SequenceLayout& layout) {
  const HaloPlan plan(span, layout);
  Foreign most;
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    std::int64_t extended = 0, halo = 0;
    const std::span<const Range> chunks = layout.chunks(rank);
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      const Range positions = chunks[c];
      const std::int64_t rows = plan.halos(rank)[c].positions.size();
      if (rows == 0) continue;
      halo += rows;
      extended += rows + visible_queries(span, {0, positions.begin}, positions).size();
    }
    most.kept = std::max(most.kept, 2 * extended);
    most.at_a_time = std::max(most.at_a_time, 2 * extended + 2 * halo + 2 * plan.rows_sent(rank));
  }
  return most;
}

Foreign foreign_rows(const LayerExchange& layer, const SequenceLayout& layout) {
  const std::int64_t own = layout.most_rows();
  switch (layer.transport) {
    case Transport::local:
      return {};
    case Transport::halo:
      return halo_rows(layer.span, layout);
    case Transport::ring:
      return {0, 12 * own};
    case Transport::all_to_all:
      // All rows of some heads weigh as much as some rows of all heads.
      return {4 * own, 10 * own, true};
    case Transport::gather:
      return {0, 6 * layout.T()};
  }
  return {};
}

}  // namespace

std::vector<std::int64_t> held_by_layer(const ModelConfig& model, std::int64_t tp) {
  const TpPart last{static_cast<int>(tp) - 1, static_cast<int>(tp)};  // no share is larger
  const ParamList declared = declared_params(model);
  std::vector<std::int64_t> counts;
  std::string layer;
  for (const ParamSpec& spec : declared.specs()) {
    // "h.3" of a layer's, "" of the embeddings and of the last norm
    const std::string its =
        spec.name.starts_with("h.") ? spec.name.substr(0, spec.name.find('.', 2)) : "";
    if (counts.empty() || its != layer) counts.push_back(0);
    layer = its;
    counts.back() += part_shape(spec.shape, spec.split, last).size();
  }
  return counts;
}

std::int64_t held_parameters(const ModelConfig& model, std::int64_t tp) {
  return sum(held_by_layer(model, tp));
}

RankMemory rank_memory(const ModelConfig& model, const ParallelConfig& p, std::int64_t micro_rows,
                       const std::vector<LayerExchange>& layers, StepPlace place) {
  const SequenceLayout layout(parse_layout(p.layout), model.context, static_cast<int>(p.cp));
  const Sizes sizes(model, p, micro_rows, layout, place);
  const auto L = static_cast<std::int64_t>(layers.size());
  RankMemory m;
  std::vector<std::int64_t> buckets = held_by_layer(model, p.tp);
  m.weights = m.gradients = sum(buckets) * kFloat;
  m.optimizer = 2 * m.weights;
  if (p.zero) m.optimizer = divided_up(m.optimizer, p.dp * p.cp);
  if (place.activations != DType::f32) m.weights += m.weights / kFloat * sizes.number;
  // The hidden states before, between and behind the layers; the gradient takes the last one's
  // place.
  m.activations = L * sizes.kept() + (L + 1) * sizes.hidden;
  m.scratch = std::max(sizes.backward(), sizes.head(divided_up(model.vocab, p.tp)));
  const std::int64_t row = micro_rows * model.width / p.tp * sizes.number;
  for (const LayerExchange& layer : layers) {
    const Foreign foreign = foreign_rows(layer, layout);
    const std::int64_t kept = foreign.kept * row + (foreign.lse ? sizes.lse : 0);
    const bool keeps = !mixes_again(sizes.policy);
    if (keeps) m.activations += kept;
    m.exchange = std::max(m.exchange, foreign.at_a_time * row + (keeps ? 0 : kept));
  }
  // A device's buffers are kept for the next; those of layers are too small for the embeddings.
  const std::size_t at_once = GradSync::kUnderWay + (place.device == DeviceKind::cuda ? 1 : 0);
  const std::size_t under_way = std::min(buckets.size(), at_once);
  std::partial_sort(buckets.begin(), buckets.begin() + static_cast<std::ptrdiff_t>(under_way),
                    buckets.end(), std::greater<>());
  const std::int64_t ranks = p.dp * p.cp;
  for (std::size_t b = 0; b < under_way; ++b) {
    m.sums += (ranks - 1) * divided_up(buckets[b], ranks) * kFloat;
  }
  return m;
}

}  // namespace mixspan
