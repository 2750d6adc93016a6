#include "experiments/report/scaling_lines.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "experiments/sweep/context_keys.h"

namespace mixspan {

namespace {

/// What a line has in common, and its label.
struct LineKey {
  std::vector<std::string> values;
  std::string label;
};

std::int64_t context_of(const Findings& study, const Variant& v) {
  return study.runs[v.runs[0]].config->model.context;
}

/// Of study.keys: those that tell two lines from each other.
std::vector<std::size_t> keys_of_lines(const Findings& study) {
  std::vector<std::size_t> keys;
  for (std::size_t k = 0; k < study.keys.size(); ++k) {
    std::vector<ValueAtContext> values;
    for (const Variant& v : study.variants) values.push_back({context_of(study, v), v.values[k]});
    if (!follows_from_context(study.keys[k], values)) keys.push_back(k);
  }
  return keys;
}

LineKey key_of(const Findings& study, const std::vector<std::size_t>& keys, const Variant& v) {
  LineKey key;
  for (const std::size_t k : keys) {
    const std::string& name = study.keys[k];
    key.values.push_back(v.values[k]);
    if (!key.label.empty()) key.label += ", ";
    key.label += (is_span_key(name) ? "" : name.substr(name.rfind('.') + 1) + " ") + v.values[k];
  }
  if (key.label.empty()) key.label = "all runs";
  return key;
}

Line exponent(const std::vector<ScalingPoint>& points, double ScalingPoint::*what) {
  std::vector<double> x, y;
  for (const ScalingPoint& p : points) {
    x.push_back(std::log(p.context));
    y.push_back(std::log(p.*what));
  }
  return fit_line(x, y);
}

}  // namespace

std::vector<ScalingLine> scaling_lines(const Findings& study) {
  const std::vector<std::size_t> keys = keys_of_lines(study);
  std::map<std::vector<std::string>, ScalingLine> lines;
  for (const Variant& v : study.variants) {
    if (!(v.step_ms > 0) || !(v.memory_bytes > 0)) continue;
    const RunConfig& config = *study.runs[v.runs[0]].config;
    LineKey key = key_of(study, keys, v);
    ScalingLine& line = lines[key.values];
    line.label = key.label;
    line.points.push_back({static_cast<double>(config.model.context),
                           1000 * v.step_ms / static_cast<double>(config.train.batch_tokens),
                           v.memory_bytes});
  }
  std::vector<ScalingLine> all;
  for (auto& [key, line] : lines) {
    std::sort(line.points.begin(), line.points.end(),
              [](const ScalingPoint& a, const ScalingPoint& b) { return a.context < b.context; });
    if (line.points.front().context == line.points.back().context) continue;
    line.time = exponent(line.points, &ScalingPoint::us_per_token);
    line.memory = exponent(line.points, &ScalingPoint::memory_bytes);
    all.push_back(std::move(line));
  }
  std::sort(all.begin(), all.end(), [](const ScalingLine& a, const ScalingLine& b) {
    return natural_less(a.label, b.label);
  });
  return all;
}

}  // namespace mixspan
