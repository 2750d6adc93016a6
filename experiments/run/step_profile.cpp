#include "experiments/run/step_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/build.h"
#include "core/error.h"
#include "experiments/run/progress.h"
#include "kernels/peak.h"

namespace mixspan {

namespace {

using Json = nlohmann::ordered_json;

PartWork work_of(Part part, const StepWork& w, const CommBytes& sent) {
  switch (part) {
    case Part::gemm:
      return w.gemm;
    case Part::full_attention:
      return w.full_attention;
    case Part::short_attention:
      return w.short_attention;
    case Part::elementwise:
      return w.elementwise;
    case Part::loss:
      return w.loss;
    case Part::optimizer:
      return w.optimizer;
    case Part::communication:
      return {0, static_cast<double>(sent.dp + sent.cp + sent.tp)};
    case Part::data:
    case Part::other:
      return {};
  }
  return {};
}

// What other ranks are waited for has no roofline here: at best it is nothing.
double roofline_of(Part part, const PartWork& work, const MachinePeaks& peaks) {
  if (part == Part::communication) return 0;
  return std::max(peaks.flops > 0 ? work.flops / peaks.flops : 0,
                  peaks.bytes_per_s > 0 ? work.bytes / peaks.bytes_per_s : 0);
}

// N of "layer N", the outermost on the way to a range; -1 without.
std::int64_t layer_of(std::span<const std::string_view> path) {
  constexpr std::string_view kPrefix = "layer ";
  for (const std::string_view name : path) {
    if (!name.starts_with(kPrefix)) continue;
    std::int64_t layer = -1;
    const auto [end, error] =
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), layer);
    return error == std::errc() && end == name.data() + name.size() ? layer : -1;
  }
  return -1;
}

void add_to_layer(StepProfile::Layer& layer, Part part, double seconds) {
  if (part == Part::gemm) layer.gemm_s += seconds;
  if (part == Part::full_attention || part == Part::short_attention) layer.attention_s += seconds;
  if (part == Part::elementwise) layer.elementwise_s += seconds;
}

std::string rate(double work, double seconds, const char* unit) {
  return work > 0 && seconds > 0 ? fmt::format("{:.1f} {}", work / seconds * 1e-9, unit) : "";
}

std::string reached(const PartWork& work, double seconds) {
  return work.flops > 0 ? rate(work.flops, seconds, "GFLOP/s") : rate(work.bytes, seconds, "GB/s");
}

std::string line_of(const StepProfile& p, std::string_view name, double seconds) {
  return fmt::format("{:22} {:>10.3f} {:>6.1f} %", name, seconds * 1e3, 100 * seconds / p.step_s);
}

std::string line_of(const StepProfile& p, const StepProfile::Row& row) {
  std::string line = line_of(p, title(row.part), row.seconds);
  line += fmt::format(" {:>16}", reached(row.work, row.seconds));
  if (row.roofline_s > 0) {
    line += fmt::format(" {:>10.3f} {:>6.2f}x", row.roofline_s * 1e3, row.seconds / row.roofline_s);
  }
  return line.substr(0, line.find_last_not_of(' ') + 1);
}

// The layers of a span together, since they should take the same time.
std::vector<std::string> lines_of_spans(const StepProfile& p) {
  struct Sum {
    std::int64_t layers = 0;
    double gemm_s = 0, attention_s = 0, elementwise_s = 0;
  };
  std::map<std::string, Sum> sums;
  for (const StepProfile::Layer& layer : p.layers) {
    Sum& sum = sums[layer.span];
    ++sum.layers;
    sum.gemm_s += layer.gemm_s;
    sum.attention_s += layer.attention_s;
    sum.elementwise_s += layer.elementwise_s;
  }
  std::vector<std::string> lines;
  for (const auto& [span, sum] : sums) {
    const double each = 1e3 / static_cast<double>(sum.layers);
    lines.push_back(fmt::format(
        "a layer of {} ({} of them): {:.3f} ms = products {:.3f}, attention {:.3f}, elementwise "
        "{:.3f}",
        span, sum.layers, (sum.gemm_s + sum.attention_s + sum.elementwise_s) * each,
        sum.gemm_s * each, sum.attention_s * each, sum.elementwise_s * each));
  }
  return lines;
}

}  // namespace

MachinePeaks measure_peaks(const Exec& ex) {
  return {measure_gemm_peak(ex), 2 * measure_copy_rate(ex)};  // a copy reads and writes
}

double StepProfile::named_s() const {
  double sum = 0;
  for (const Row& row : rows) sum += row.seconds;
  return sum;
}

StepProfile profile_of(const Tracer& tracer, const RunPlan& plan, const CommBytes& sent,
                       const MachinePeaks& peaks, std::string place) {
  StepProfile p;
  p.place = std::move(place);
  p.peaks = peaks;
  p.dropped = tracer.dropped();
  for (const LayerCost& layer : plan.layers) p.layers.push_back({layer.span.str()});
  for (const Part part : named_parts()) p.rows.push_back({part, 0, work_of(part, plan.work, sent)});

  const auto totals = tracer.totals("step", StepProfile::kWarmup);
  check(!totals.empty(), "a profile of no step");
  p.steps = totals.front().count;
  const double each = 1.0 / static_cast<double>(p.steps);
  p.step_s = totals.front().seconds * each;
  tracer.visit("step", StepProfile::kWarmup,
               [&](std::span<const std::string_view> path, double seconds) {
                 const Part part = part_of(path.back());
                 if (part == Part::other) return;
                 p.rows[static_cast<std::size_t>(part)].seconds += seconds * each;
                 const std::int64_t layer = layer_of(path);
                 if (layer < 0 || layer >= static_cast<std::int64_t>(p.layers.size())) return;
                 add_to_layer(p.layers[static_cast<std::size_t>(layer)], part, seconds * each);
               });
  for (StepProfile::Row& row : p.rows) row.roofline_s = roofline_of(row.part, row.work, peaks);
  return p;
}

std::vector<std::string> to_lines(const StepProfile& p) {
  std::vector<std::string> lines{
      fmt::format("profile of {} steps of {:.3f} ms, on {}", p.steps, p.step_s * 1e3, p.place)};
  if (p.peaks.flops > 0) {
    lines.push_back(fmt::format("peaks, measured after them: {}FLOP/s, memory {}B/s",
                                human_count(p.peaks.flops), human_count(p.peaks.bytes_per_s)));
  }
  lines.push_back(fmt::format("{:22} {:>10} {:>8} {:>16} {:>10} {:>7}", "part", "ms", "of step",
                              "reached", "roofline", "gap"));
  for (const StepProfile::Row& row : p.rows) {
    if (row.seconds > 0) lines.push_back(line_of(p, row));
  }
  lines.push_back(line_of(p, title(Part::other), p.other_s()));
  for (std::string& line : lines_of_spans(p)) lines.push_back(std::move(line));
  if (p.dropped > 0) {
    lines.push_back(
        fmt::format("{} ranges had no room; their time is in the last part", p.dropped));
  }
  return lines;
}

std::string to_json(const StepProfile& p) {
  Json j;
  j["steps"] = p.steps;
  j["place"] = p.place;
  j["step_ms"] = p.step_s * 1e3;
  j["explained"] = p.named_s() / p.step_s;
  j["dropped_ranges"] = p.dropped;
  j["peaks"] = {{"flops", p.peaks.flops}, {"bytes_per_s", p.peaks.bytes_per_s}};
  j["parts"] = Json::array();
  for (const StepProfile::Row& row : p.rows) {
    Json part{{"part", key(row.part)},
              {"ms", row.seconds * 1e3},
              {"share", row.seconds / p.step_s},
              {"flops", row.work.flops},
              {"bytes", row.work.bytes}};
    if (row.roofline_s > 0) {
      part["roofline_ms"] = row.roofline_s * 1e3;
      part["gap"] = row.seconds / row.roofline_s;
    }
    j["parts"].push_back(std::move(part));
  }
  j["parts"].push_back(
      {{"part", key(Part::other)}, {"ms", p.other_s() * 1e3}, {"share", p.other_s() / p.step_s}});
  j["layers"] = Json::array();
  for (std::size_t l = 0; l < p.layers.size(); ++l) {
    const StepProfile::Layer& layer = p.layers[l];
    j["layers"].push_back({{"layer", l},
                           {"span", layer.span},
                           {"gemm_ms", layer.gemm_s * 1e3},
                           {"attention_ms", layer.attention_s * 1e3},
                           {"elementwise_ms", layer.elementwise_s * 1e3}});
  }
  j["build"] = std::string(kBuildName);
  return j.dump(2) + "\n";
}

}  // namespace mixspan
