#include "experiments/report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "experiments/report/figure_parts.h"
#include "experiments/report/ranking.h"

namespace mixspan {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Mean over the runs of a variant that have begun, at the parts that all of them have: where runs
/// come or go, a mean would jump.
std::vector<ChartPoint> mean_curve(const Findings& study, const Variant& v,
                                   std::vector<LossPoint> RunRecord::*curve) {
  struct Values {
    std::vector<double> tokens, losses;
  };
  std::map<std::int64_t, Values> at;
  std::size_t runs = 0;
  for (const std::size_t r : v.counted.empty() ? v.runs : v.counted) {
    const std::vector<LossPoint>& own = study.runs[r].*curve;
    if (!own.empty()) ++runs;
    for (const LossPoint& p : own) {
      at[p.part].tokens.push_back(p.tokens);
      at[p.part].losses.push_back(p.loss);
    }
  }
  std::vector<ChartPoint> points;
  for (const auto& [part, values] : at) {
    if (values.losses.size() != runs) continue;
    const Estimate mean = mean_estimate(values.losses);
    points.push_back({mean_estimate(values.tokens).value, mean.value, mean.low, mean.high, "", ""});
  }
  return points;
}

/// The first tenth of training falls so far that nothing else would be seen: it is cut off.
double highest_after_start(const std::vector<ChartSeries>& series) {
  double high = kNone, last = 0;
  for (const ChartSeries& s : series) {
    if (!s.points.empty()) last = std::max(last, s.points.back().x);
  }
  for (const ChartSeries& s : series) {
    for (const ChartPoint& p : s.points) {
      if (p.x >= last / 10) high = std::fmax(high, p.y);
    }
  }
  return high;
}

Figure curves(const Findings& study, const VariantColors& colors, bool training) {
  Chart chart;
  chart.title = training ? kTrainingFigure : kEvaluationFigure;
  chart.x = {.label = "tokens seen", .numbers = Numbers::counts};
  chart.y = {.label = "loss (nats per token)"};
  std::size_t most_points = 0;
  for (const std::size_t i : colors.order()) {
    ChartSeries s{.name = colors.name(i), .color = colors.color(i)};
    s.points = mean_curve(study, study.variants[i],
                          training ? &RunRecord::training : &RunRecord::evaluation);
    s.marks = !training && colors.few();
    s.band = colors.few();
    if (training || !colors.few()) {
      for (ChartPoint& p : s.points) p.low = p.high = kNone;
    }
    most_points = std::max(most_points, s.points.size());
    if (!s.points.empty()) chart.series.push_back(std::move(s));
  }
  if (most_points < 2) chart.series.clear();
  if (training && !chart.series.empty()) chart.y.high = highest_after_start(chart.series) * 1.02;
  std::string caption =
      training ? fmt::format(
                     "Mean over seeds; each run's records are averaged in {} equal parts of its "
                     "planned steps. What lies above the losses after the first tenth is cut off.",
                     kCurveParts)
               : "Mean over seeds, at every evaluation; bands, where variants are few, are 95 % "
                 "intervals.";
  return {chart.title, caption + colors.explanation(), std::move(chart)};
}

/// A point for each variant, and the Pareto front of those that may be ranked.
struct CostPoints {
  ChartSeries points, front;
  std::set<double> shares;
};

CostPoints cost_points(const Findings& study, const std::vector<std::size_t>& known,
                       const Ranking& ranking, bool all_labelled) {
  CostPoints out;
  // From most attention to least: on the front where nothing cheaper is as good.
  for (std::size_t k = 0; k < known.size(); ++k) {
    const Variant& v = study.variants[known[k]];
    const std::optional<Estimate>& ranked = ranking.losses[k];
    bool beaten = !ranked;
    for (std::size_t j = 0; j < known.size() && !beaten; ++j) {
      if (!ranking.losses[j]) continue;
      const double share = study.variants[known[j]].attention_share;
      const double loss = ranking.losses[j]->value;
      beaten = share <= v.attention_share && loss <= ranked->value &&
               (share < v.attention_share || loss < ranked->value);
    }
    const Estimate& loss = ranked ? *ranked : *v.loss;
    const bool labelled = !beaten || v.all_full() || all_labelled;
    out.shares.insert(v.attention_share);
    out.points.points.push_back(
        {v.attention_share, loss.value, loss.low, loss.high, labelled ? spans_label(study, v) : "",
         fmt::format("{}: loss {:.4f}, {:.1f} % of attention, {}", v.label, loss.value,
                     100 * v.attention_share, seeds_text(ranking, v))});
    if (!beaten) out.front.points.push_back({v.attention_share, loss.value});
  }
  return out;
}

Figure quality_against_cost(const Findings& study) {
  Chart chart;
  chart.title = kCostFigure;
  chart.x = {.label = "attention operations, of the all-full model's", .numbers = Numbers::percent};
  chart.y = {.label = "evaluation loss (nats per token)"};
  const auto groups = study.groups();
  std::size_t color = 0, costs = 0;
  std::set<std::string> left_out;  // what captions say of seeds, once
  for (const auto& group : groups) {
    std::vector<std::size_t> known;
    for (const std::size_t i : group) {
      if (study.variants[i].loss) known.push_back(i);
    }
    if (known.empty() || color >= kCategories) continue;
    const Ranking ranking = rank(study, known);
    left_out.insert(seeds_text(ranking));
    CostPoints drawn = cost_points(study, known, ranking, known.size() * groups.size() <= 12);
    costs = std::max(costs, drawn.shares.size());
    drawn.front.color = drawn.points.color = category_color(color);
    drawn.front.dashed = true;
    drawn.points.kind = ChartSeries::Kind::points;
    if (groups.size() > 1) drawn.points.name = study.variants[known[0]].settings;
    chart.series.push_back(std::move(drawn.front));
    chart.series.push_back(std::move(drawn.points));
    ++color;
  }
  if (costs < 2) chart.series.clear();
  std::string caption =
      "Each point is a variant: the mean of its seeds with its 95 % interval. The dashed line "
      "joins "
      "those that no other beats in both cost and mean loss (the Pareto front); it says nothing of "
      "whether neighbours differ by more than chance.";
  for (const std::string& text : left_out) caption += text;
  if (groups.size() > kCategories) {
    caption += fmt::format(" Only the first {} settings are drawn.", kCategories);
  }
  return {chart.title, caption, std::move(chart)};
}

Figure by_position(const Findings& study, const VariantColors& colors) {
  Chart chart;
  chart.title = kPositionFigure;
  chart.x = {.label = "position in the context (tokens)", .numbers = Numbers::counts};
  chart.y = {.label = "evaluation loss (nats per token)"};
  std::map<std::size_t, std::vector<ChartPoint>> of_variant;
  for (const PositionEstimate& p : losses_by_position(study)) {
    of_variant[p.variant].push_back(
        {static_cast<double>(p.begin + p.end) / 2, p.loss.value, p.loss.low, p.loss.high, "",
         fmt::format("{}..{}: {:.4f}", p.begin, p.end - 1, p.loss.value)});
  }
  for (const std::size_t i : colors.order()) {
    const auto found = of_variant.find(i);
    if (found == of_variant.end() || found->second.size() < 2) continue;
    if (!colors.few()) {
      for (ChartPoint& p : found->second) p.low = p.high = kNone;
    }
    chart.series.push_back({.name = colors.name(i),
                            .color = colors.color(i),
                            .band = colors.few(),
                            .marks = colors.few(),
                            .points = found->second});
  }
  return {chart.title,
          "Of the last evaluation, mean over seeds, drawn at the middle of each part; bands, "
          "where variants are few, are 95 % intervals. A layer that sees only its own "
          "neighbourhood cannot use what lies far "
          "back: that shows at late positions." +
              colors.explanation(),
          std::move(chart)};
}

Figure scaling(const std::vector<ScalingLine>& lines, bool time) {
  Chart chart;
  chart.title = time ? kTimeFigure : kMemoryFigure;
  chart.x = {.label = "context (tokens)", .logarithmic = true, .numbers = Numbers::counts};
  chart.y = {.label = time ? "time of a token (µs)" : "memory of the first rank's process",
             .logarithmic = true,
             .numbers = time ? Numbers::plain : Numbers::bytes};
  std::set<double> contexts;
  std::string exponents;
  for (std::size_t i = 0; i < std::min(lines.size(), kCategories); ++i) {
    ChartSeries s{.name = lines[i].label, .color = category_color(i), .marks = true};
    for (const ScalingPoint& p : lines[i].points) {
      contexts.insert(p.context);
      s.points.push_back({p.context, time ? p.us_per_token : p.memory_bytes});
    }
    chart.series.push_back(std::move(s));
    const Estimate& slope = (time ? lines[i].time : lines[i].memory).slope;
    exponents += fmt::format("{} {}: {:.2f}{}", exponents.empty() ? "" : ";", lines[i].label,
                             slope.value, interval_text(slope, 2));
  }
  chart.x.ticks.assign(contexts.begin(), contexts.end());
  if (!time) {  // powers of two read well
    double most = 0, least = 1e300;
    for (const ChartSeries& s : chart.series) {
      for (const ChartPoint& p : s.points) {
        most = std::max(most, p.y);
        least = std::min(least, p.y);
      }
    }
    for (int e = static_cast<int>(std::floor(std::log2(least))) - 1; e <= std::log2(most) + 1;
         ++e) {
      chart.y.ticks.push_back(std::exp2(e));
    }
  }
  return {chart.title,
          fmt::format(
              "Both axes are logarithmic: a power of the context is a straight line, and its slope "
              "the exponent. Exponents by least squares over the variants' {}, with 95 % intervals "
              "where three or more contexts allow one:{}.",
              time ? "median step times over train.batch_tokens" : "highest memory", exponents),
          std::move(chart)};
}

}  // namespace

std::vector<PositionEstimate> losses_by_position(const Findings& study) {
  std::vector<PositionEstimate> all;
  for (std::size_t i = 0; i < study.variants.size(); ++i) {
    std::map<std::pair<std::int64_t, std::int64_t>, std::vector<double>> parts;
    for (const std::size_t r : study.variants[i].counted) {
      for (const PositionLoss& p : study.runs[r].last_eval->by_position) {
        if (std::isfinite(p.loss)) parts[{p.begin, p.end}].push_back(p.loss);
      }
    }
    for (const auto& [part, losses] : parts) {
      all.push_back({i, part.first, part.second, mean_estimate(losses)});
    }
  }
  return all;
}

std::vector<Figure> make_figures(const Findings& study, const std::vector<EffectFamily>& effects,
                                 const std::vector<ScalingLine>& lines) {
  const VariantColors colors(study);
  std::vector<Figure> all{quality_against_cost(study)};
  for (Figure& map : layer_maps(study)) all.push_back(std::move(map));
  if (!effects.empty()) all.push_back(layer_effect_figure(study, effects));
  all.push_back(by_position(study, colors));
  all.push_back(curves(study, colors, false));
  all.push_back(curves(study, colors, true));
  if (!lines.empty()) {
    all.push_back(scaling(lines, true));
    all.push_back(scaling(lines, false));
  }
  std::erase_if(all, [](const Figure& f) {
    const auto* chart = std::get_if<Chart>(&f.drawing);
    return chart != nullptr && chart->series.empty();
  });
  return all;
}

std::string to_svg(const Figure& figure, const FigureSize& size, bool stand_alone) {
  return std::visit([&](const auto& d) { return to_svg(d, size, stand_alone); }, figure.drawing);
}

}  // namespace mixspan
