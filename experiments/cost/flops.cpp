#include "experiments/cost/flops.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "core/error.h"

namespace mixspan {

namespace {

/// `pairs(span)`: visible pairs of all sequences together.
ModelFlops count(const ModelConfig& c, std::int64_t tokens, std::int64_t vocab,
                 const std::function<std::int64_t(const AnySpan&)>& pairs) {
  check(vocab >= 1, "count_flops: vocab = {}, wanted at least 1", vocab);
  const auto n = static_cast<double>(tokens);
  const auto width = static_cast<double>(c.width);
  ModelFlops flops;
  flops.tokens = tokens;
  flops.head = 2 * n * width * static_cast<double>(vocab);
  std::map<std::string, std::int64_t> pairs_of;  // most layers share a span
  for (const AnySpan& span : layer_spans(c)) {
    const auto [found, is_new] = pairs_of.try_emplace(span.str(), 0);
    if (is_new) found->second = pairs(span);
    LayerFlops layer{.span = span};
    layer.projections = 2 * n * 4 * width * width;
    // Two products, each a multiply and an add for every component of every head: N * H = C.
    layer.attention = 2 * 2 * width * static_cast<double>(found->second);
    layer.mlp = 2 * n * 2 * width * static_cast<double>(c.mlp());
    flops.attention_again += layer.attention / 2;
    flops.recomputed += layer.recomputed(parse_recompute(c.recompute));
    flops.layers.push_back(layer);
  }
  return flops;
}

/// Visible pairs of a row whose documents start where `start` says.
std::int64_t row_pairs(const AnySpan& span, const std::int32_t* start, std::int64_t T) {
  return span.visit([&](const auto& s) {
    std::int64_t n = 0;
    for (std::int64_t i = 0; i < T; ++i) n += i - std::max<std::int64_t>(s.lo(i), start[i]) + 1;
    return n;
  });
}

}  // namespace

double LayerFlops::recomputed(Recompute policy) const {
  return (runs_again(policy) ? products_again() : 0) + (mixes_again(policy) ? attention : 0);
}

double ModelFlops::attention() const {
  double sum = 0;
  for (const LayerFlops& layer : layers) sum += layer.attention;
  return sum;
}

double ModelFlops::forward() const {
  double sum = head;
  for (const LayerFlops& layer : layers) sum += layer.forward();
  return sum;
}

ModelFlops count_flops(const ModelConfig& config, std::int64_t T, std::int64_t vocab) {
  return count(config, T, vocab, [T](const AnySpan& span) { return span.pairs(T); });
}

ModelFlops count_flops(const ModelConfig& config, const ConstView& document_start,
                       std::int64_t vocab) {
  const std::int64_t B = document_start.dim(0), T = document_start.dim(1);
  return count(config, B * T, vocab, [&](const AnySpan& span) {
    std::int64_t n = 0;
    for (std::int64_t b = 0; b < B; ++b) {
      n += row_pairs(span, document_start.data<std::int32_t>() + b * document_start.stride(0), T);
    }
    return n;
  });
}

double attention_share(const ModelConfig& config) {
  ModelConfig all = config;
  all.spans.clear();
  all.full_layers = "all";
  constexpr std::int64_t kAnyVocab = 1;  // attention does not depend on it
  return count_flops(config, config.context, kAnyVocab).attention() /
         count_flops(all, config.context, kAnyVocab).attention();
}

}  // namespace mixspan
