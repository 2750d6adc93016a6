#include "experiments/report/figure_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "experiments/report/ranking.h"

namespace mixspan {

namespace {

constexpr std::size_t kMostRows = 40, kMostMaps = 6;

/// Variants with a loss, the best first; those that cannot be ranked come last.
struct OrderedVariants {
  std::vector<std::size_t> variants;
  Ranking ranking;  ///< losses in the order of `variants`
  std::size_t ranked = 0;
};

OrderedVariants best_first(const Findings& study, const std::vector<std::size_t>& among) {
  std::vector<std::size_t> known, order;
  for (const std::size_t i : among) {
    if (study.variants[i].loss) known.push_back(i);
  }
  OrderedVariants out;
  out.ranking = rank(study, known);
  const std::vector<std::optional<Estimate>> losses = std::move(out.ranking.losses);
  for (std::size_t k = 0; k < known.size(); ++k) order.push_back(k);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (!losses[a] || !losses[b]) return losses[a].has_value() && !losses[b];
    return losses[a]->value < losses[b]->value;
  });
  out.ranking.losses.clear();
  for (const std::size_t k : order) {
    out.variants.push_back(known[k]);
    out.ranking.losses.push_back(losses[k]);
    if (losses[k]) ++out.ranked;
  }
  return out;
}

HeatMap map_of(const Findings& study, const OrderedVariants& ordered) {
  const std::vector<std::size_t>& rows = ordered.variants;
  const auto& losses = ordered.ranking.losses;
  const double best = ordered.ranked > 0 ? losses[0]->value : 0;
  const double worst = ordered.ranked > 0 ? losses[ordered.ranked - 1]->value : 0;
  HeatMap map;
  map.x_label = "layer (0 is next to the embeddings)";
  map.value_label = "loss";
  map.low_label = "worse";
  map.high_label = "better";
  const std::size_t layers = study.variants[rows[0]].full.size();
  for (std::size_t l = 0; l < layers; ++l) map.columns.push_back(std::to_string(l));
  for (std::size_t k = 0; k < std::min(rows.size(), kMostRows); ++k) {
    const Variant& v = study.variants[rows[k]];
    const Estimate& loss = losses[k] ? *losses[k] : *v.loss;
    const double goodness = !losses[k]     ? std::numeric_limits<double>::quiet_NaN()
                            : worst > best ? (worst - loss.value) / (worst - best)
                                           : 1;
    map.rows.push_back(spans_label(study, v));
    map.row_values.push_back(fmt::format("{:.4f}", loss.value));
    map.hints.push_back(fmt::format("{}: loss {:.4f}{}, {:.1f} % of attention, {}", v.label,
                                    loss.value, interval_text(loss, 4), 100 * v.attention_share,
                                    seeds_text(ordered.ranking, v)));
    for (std::size_t l = 0; l < layers; ++l) {
      map.cells.push_back(v.full[l] ? ramp_color(goodness) : "");
    }
  }
  return map;
}

}  // namespace

VariantColors::VariantColors(const Findings& study) : study_(study), named_(study.variants.size()) {
  std::vector<std::size_t> all(study.variants.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  const OrderedVariants ordered = best_first(study, all);
  few_ = study.variants.size() <= kCategories;
  std::size_t full_named = 0;
  for (std::size_t i = 0; i < named_.size(); ++i) {
    named_[i] = few_ || (study.variants[i].all_full() && full_named++ < 2);
  }
  if (ordered.ranked > 0) {
    named_[ordered.variants[0]] = named_[ordered.variants[ordered.ranked - 1]] = true;
  }
  for (const bool named : {false, true}) {
    for (std::size_t i = 0; i < named_.size(); ++i) {
      if (named_[i] == named) order_.push_back(i);
    }
  }
}

std::string VariantColors::color(std::size_t variant) const {
  if (few_) return category_color(variant);
  if (!named_[variant]) return ramp_color(study_.variants[variant].attention_share);
  // The shades would be hard to read as text, and hard to find among the others.
  return category_color(1 +
                        static_cast<std::size_t>(std::count(
                            named_.begin(), named_.begin() + static_cast<long>(variant), true)));
}

std::string VariantColors::name(std::size_t variant) const {
  return named_[variant] ? study_.variants[variant].label : "";
}

std::string VariantColors::explanation() const {
  return few_ ? ""
              : " Shaded by attention cost, strong is all full; the best, the worst and the "
                "all-full have a name and a colour of their own.";
}

std::string spans_label(const Findings& study, const Variant& v) {
  std::string label;
  for (std::size_t k = 0; k < study.keys.size(); ++k) {
    if (!is_span_key(study.keys[k]) || v.values[k] == "[]") continue;
    // The span of layers that are not full says nothing where all are.
    if (study.keys[k] == "model.span" && v.all_full() && !label.empty()) continue;
    label += (label.empty() ? "" : ", ") + v.values[k];
  }
  return label.empty() ? v.label : label;
}

std::string interval_text(const Estimate& e, int digits) {
  if (std::isnan(e.low)) return "";
  return fmt::format(" [{:.{}f}, {:.{}f}]", e.low, digits, e.high, digits);
}

std::vector<Figure> layer_maps(const Findings& study) {
  std::vector<Figure> maps;
  const auto groups = study.groups();
  for (const auto& group : groups) {
    const OrderedVariants ordered = best_first(study, group);
    const std::vector<std::size_t>& rows = ordered.variants;
    std::set<std::vector<bool>> patterns;
    for (const std::size_t i : rows) patterns.insert(study.variants[i].full);
    if (patterns.size() < 3 || maps.size() == kMostMaps) continue;
    HeatMap map = map_of(study, ordered);
    map.title = kLayersFigure;
    if (groups.size() > 1) map.title += ", " + study.variants[rows[0]].settings;
    std::string caption =
        "A row is a variant, the best on top; filled layers are full, the others see their span "
        "only." +
        seeds_text(ordered.ranking);
    if (rows.size() > kMostRows) {
      caption += fmt::format(" The best {} of {} are drawn.", kMostRows, rows.size());
    }
    maps.push_back({map.title, caption, std::move(map)});
  }
  return maps;
}

Figure layer_effect_figure(const Findings& study, const std::vector<EffectFamily>& families) {
  Chart chart;
  chart.title = kEffectsFigure;
  chart.x = {.label = "layer (0 is next to the embeddings)"};
  chart.y = {.label = "loss without it - loss with it (nats)"};
  chart.zero_line = true;
  // The largest families say most; with more colours nobody could tell them apart.
  std::vector<const EffectFamily*> largest;
  for (const EffectFamily& family : families) largest.push_back(&family);
  std::stable_sort(largest.begin(), largest.end(), [](const auto* a, const auto* b) {
    return a->effects.size() > b->effects.size();
  });
  if (largest.size() > 5) largest.resize(5);
  std::set<double> layers;
  for (std::size_t f = 0; f < largest.size(); ++f) {
    ChartSeries s{.name = name_of(*largest[f], study),
                  .color = category_color(f),
                  .kind = ChartSeries::Kind::points};
    const double aside =
        0.12 * (static_cast<double>(f) - static_cast<double>(largest.size() - 1) / 2);
    for (const LayerEffect& e : largest[f]->effects) {
      layers.insert(static_cast<double>(e.layer));
      s.points.push_back(
          {static_cast<double>(e.layer) + aside, e.gain.value, e.gain.low, e.gain.high, "",
           fmt::format("layer {}: {:+.4f}{}", e.layer, e.gain.value, interval_text(e.gain, 4))});
    }
    chart.series.push_back(std::move(s));
  }
  chart.x.ticks.assign(layers.begin(), layers.end());
  chart.x.low = *layers.begin() - 0.5;
  chart.x.high = *layers.rbegin() + 0.5;
  std::string caption =
      "Pairs of variants that differ in one layer only; above the line, full attention in that "
      "layer lowers the loss. Mean over seeds that both have, with 95 % intervals, not adjusted "
      "for "
      "their number.";
  if (families.size() > largest.size()) {
    caption +=
        fmt::format(" The {} largest of {} families are drawn.", largest.size(), families.size());
  }
  return {chart.title, caption, std::move(chart)};
}

}  // namespace mixspan
