#include "experiments/sweep/scale_point.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "core/statistics.h"
#include "experiments/run/metrics_reader.h"
#include "experiments/run/step_parts.h"
#include "experiments/sweep/context_keys.h"

namespace mixspan {

namespace {

// What is not one of these is the rest: ranges that hold them are among the names.
StepParts parts_of(const nlohmann::json& time) {
  StepParts parts;
  parts.rest = time.at("step").get<double>();
  const auto take = [&](double& part, double seconds) {
    part += seconds;
    parts.rest -= seconds;
  };
  for (const auto& [name, value] : time.items()) {
    const auto seconds = value.get<double>();
    switch (part_of(name)) {
      case Part::gemm:
        take(parts.matmul, seconds);
        break;
      case Part::full_attention:
        take(parts.full_attention, seconds);
        break;
      case Part::short_attention:
        take(parts.short_attention, seconds);
        break;
      case Part::communication:
        take(parts.communication, seconds);
        break;
      default:
        break;
    }
  }
  return parts;
}

std::optional<StepParts> read_parts(const std::filesystem::path& result) {
  std::ifstream in(result, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  try {
    const auto json = nlohmann::json::parse(text);
    const auto time = json.find("time");
    if (time == json.end()) return std::nullopt;
    return parts_of(*time);
  } catch (const nlohmann::json::exception& e) {
    refuse("{}: not the result of a run: {}", result.string(), e.what());
  }
}

}  // namespace

std::optional<Measured> measure_of(const std::filesystem::path& run_dir, std::int64_t warmup) {
  const std::filesystem::path result = run_dir / "result.json";
  if (!std::filesystem::exists(result)) return std::nullopt;
  std::vector<double> step_ms, mfu;
  Measured m;
  std::int64_t tokens = 0;  // of a step
  for (const TrainMetrics& line : read_metrics(run_dir / "metrics.jsonl").train) {
    if (line.step <= warmup) continue;
    step_ms.push_back(line.step_ms);
    if (line.mfu) mfu.push_back(*line.mfu);
    tokens = line.tokens / line.step;
    m.memory_bytes = std::max(m.memory_bytes, line.memory_bytes);
    m.comm_bytes = line.comm_bytes;
  }
  require(!step_ms.empty(), "{}: no step after the {} that warm up; wanted more train.steps",
          run_dir.string(), warmup);
  m.steps = static_cast<std::int64_t>(step_ms.size());
  m.step_ms = median(step_ms);
  m.fastest_ms = *std::min_element(step_ms.begin(), step_ms.end());
  m.slowest_ms = *std::max_element(step_ms.begin(), step_ms.end());
  m.tokens_per_s = static_cast<double>(tokens) / m.step_ms * 1e3;
  if (!mfu.empty()) m.mfu = median(mfu);
  m.parts = read_parts(result);
  return m;
}

Predicted predict_step(const RunConfig& config, const MachineFile& machine) {
  const RunPlan plan = make_plan({config.model, config.parallel, config.step_shape(), machine});
  return {
      plan.time.total() * 1e3, plan.memory.total(), {plan.bytes.dp, plan.bytes.cp, plan.bytes.tp}};
}

namespace {

const Setting* setting_of(const SweepRun& run, std::string_view key) {
  const auto found = std::find_if(run.settings.begin(), run.settings.end(),
                                  [&](const Setting& s) { return s.key == key; });
  return found == run.settings.end() ? nullptr : &*found;
}

bool follows_from_context(std::string_view key, const std::vector<ScalePoint*>& points) {
  std::vector<ValueAtContext> runs;
  for (const ScalePoint* p : points) {
    const Setting* setting = setting_of(p->run, key);
    runs.push_back({p->run.config.model.context, setting == nullptr ? "" : setting->value});
  }
  return follows_from_context(key, runs);
}

}  // namespace

void name_variants(std::vector<ScalePoint*> points) {
  RunConfig any;
  const ConfigSchema schema = schema_of(any);
  std::vector<std::string> keys;
  for (const ConfigSchema::Field& field : schema.fields()) {
    const std::string key = field.key();
    if (!follows_from_context(key, points)) keys.push_back(key);
  }
  for (ScalePoint* p : points) {
    p->variant.clear();
    for (const std::string& key : keys) {
      const Setting* s = setting_of(p->run, key);
      if (s == nullptr) continue;
      p->variant += fmt::format("{}{}={}", p->variant.empty() ? "" : ", ", key, s->value);
    }
    if (p->variant.empty()) p->variant = "base";
  }
}

}  // namespace mixspan
