#include "experiments/sweep/scale_summary.h"

#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/error.h"
#include "data/loader.h"
#include "experiments/sweep/sweep_options.h"

namespace mixspan {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// Vocabularies of data, each looked up once.
class Vocabularies {
 public:
  RunConfig with_vocab(RunConfig config) {
    if (config.model.vocab != 0) return config;
    const auto [found, is_new] = known_.try_emplace({config.data.train, config.model.context});
    if (is_new) {
      found->second = open_training(config.data, config.model.context, 0)->vocab_size();
    }
    config.model.vocab = found->second;
    return config;
  }

 private:
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> known_;
};

ScalePoint point_of(const SweepRun& run, const MachineFile& machine, Vocabularies& vocabularies) {
  ScalePoint point;
  point.run = run;
  point.run.config = vocabularies.with_vocab(run.config);
  point.variant = variant_of(run);
  point.plan = predict(point.run.config, machine);
  return point;
}

ScaleRow planned_row(const ScalePoint& p) {
  ScaleRow row;
  row.run = p.run.name;
  row.variant = p.variant;
  row.mesh = p.run.config.parallel.str();
  row.context = p.run.config.model.context;
  row.step_ms = row.low_ms = row.high_ms = kUnknown;
  row.plan_step_ms = p.plan.step_ms;
  row.plan_memory_bytes = p.plan.memory_bytes;
  row.plan_comm_bytes = p.plan.comm_bytes;
  return row;
}

ScaleRow row_of(const ScalePoint& p) {
  ScaleRow row = planned_row(p);
  if (!p.measured) return row;
  const Measured& m = *p.measured;
  row.kind = ScaleRow::Kind::measured;
  row.step_ms = m.step_ms;
  row.low_ms = m.fastest_ms;
  row.high_ms = m.slowest_ms;
  row.tokens_per_s = m.tokens_per_s;
  row.mfu = m.mfu;
  row.memory_bytes = m.memory_bytes;
  row.comm_bytes = m.comm_bytes;
  row.parts = m.parts;
  return row;
}

ScaleRow extrapolated_row(const ScalePoint& p, const std::vector<ScalePoint>& points) {
  ScaleRow row = planned_row(p);
  row.kind = ScaleRow::Kind::extrapolated;
  const Estimate step = extrapolate(p, points).step_ms;
  row.step_ms = step.value;
  row.low_ms = step.low;
  row.high_ms = step.high;
  row.tokens_per_s = static_cast<double>(p.run.config.train.batch_tokens) / step.value * 1e3;
  return row;
}

}  // namespace

std::string_view name_of(ScaleRow::Kind kind) {
  switch (kind) {
    case ScaleRow::Kind::measured:
      return "measured";
    case ScaleRow::Kind::waiting:
      return "waiting";
    case ScaleRow::Kind::extrapolated:
      return "extrapolated";
  }
  return "?";
}

ScaleSummary summarize(const SweepFile& study, const std::filesystem::path& runs,
                       const MachineFile& machine) {
  Vocabularies vocabularies;
  std::vector<ScalePoint> points;
  bool any = false;
  for (const SweepRun& run : study.runs([](const std::string&) { return std::nullopt; })) {
    points.push_back(point_of(run, machine, vocabularies));
    points.back().measured = measure_of(runs / run.name, study.scale().warmup_steps);
    any = any || points.back().measured;
  }
  ScaleSummary summary{machine.name, {}, fit_growth(points)};
  for (const ScalePoint& p : points) summary.rows.push_back(row_of(p));
  if (!any) return summary;
  for (const SweepRun& run : study.extrapolated()) {
    summary.rows.push_back(extrapolated_row(point_of(run, machine, vocabularies), points));
  }
  return summary;
}

}  // namespace mixspan
