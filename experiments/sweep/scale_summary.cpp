#include "experiments/sweep/scale_summary.h"

#include <limits>
#include <map>

#include "core/error.h"
#include "data/loader.h"
#include "experiments/sweep/data_paths.h"
#include "experiments/sweep/sweep_options.h"

namespace mixspan {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

/// Vocabularies of data, each looked up once, with the shortest rows that the study reads of it.
class Vocabularies {
 public:
  Vocabularies(const std::vector<ScalePoint*>& points, const std::filesystem::path& paths)
      : paths_(paths) {
    for (const ScalePoint* p : points) {
      const RunConfig& c = p->run.config;
      const auto [found, is_new] = shortest_.try_emplace(c.data.train, &c);
      if (!is_new && c.model.context < found->second->model.context) found->second = &c;
    }
  }
  std::int64_t of(const RunConfig& config) {
    if (config.model.vocab != 0) return config.model.vocab;
    const auto [found, is_new] = known_.try_emplace(config.data.train);
    if (is_new) {
      const RunConfig& c = *shortest_.at(config.data.train);
      found->second = open_training(data_from(paths_, c.data), c.model.context, 0)->vocab_size();
    }
    return found->second;
  }

 private:
  const std::filesystem::path& paths_;
  std::map<std::string, const RunConfig*> shortest_;
  std::map<std::string, std::int64_t> known_;
};

ScaleRow planned_row(const ScalePoint& p) {
  ScaleRow row;
  row.run = p.run.name;
  row.variant = p.variant;
  row.mesh = p.run.config.parallel.str();
  row.context = p.run.config.model.context;
  row.step_ms = row.low_ms = row.high_ms = row.tokens_per_s = kUnknown;
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
  const auto [step, memory_bytes, of_variant] = extrapolate(p, points);
  row.memory_bytes = static_cast<std::int64_t>(memory_bytes);
  row.of_variant = of_variant;
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

ScalePlan plan_scale(const SweepFile& study, const MachineFile& machine,
                     const std::filesystem::path& paths) {
  ScalePlan plan{machine.name, study.scale().warmup_steps, {}, {}};
  for (const SweepRun& run : study.runs([](const SweepRun&) { return std::nullopt; })) {
    plan.points.push_back({run, "", {}, {}});
  }
  for (const SweepRun& run : study.extrapolated()) plan.beyond.push_back({run, "", {}, {}});
  std::vector<ScalePoint*> all;
  for (ScalePoint& p : plan.points) all.push_back(&p);
  for (ScalePoint& p : plan.beyond) all.push_back(&p);
  name_variants(all);
  Vocabularies vocabularies(all, paths);
  for (ScalePoint* p : all) {
    RunConfig config = p->run.config;
    config.model.vocab = vocabularies.of(config);
    p->plan = predict_step(config, machine);
  }
  return plan;
}

ScaleSummary summarize(ScalePlan plan, const std::filesystem::path& runs) {
  bool any = false;
  for (ScalePoint& p : plan.points) {
    p.measured = measure_of(runs / p.run.name, plan.warmup_steps);
    any = any || p.measured;
  }
  ScaleSummary summary{plan.machine, {}, fit_growth(plan.points)};
  for (const ScalePoint& p : plan.points) summary.rows.push_back(row_of(p));
  if (!any) return summary;
  for (const ScalePoint& p : plan.beyond) {
    summary.rows.push_back(extrapolated_row(p, plan.points));
  }
  return summary;
}

}  // namespace mixspan
