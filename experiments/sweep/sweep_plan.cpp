#include "experiments/sweep/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <utility>

#include "core/error.h"
#include "experiments/cost/flops.h"
#include "experiments/cost/plan.h"
#include "experiments/run/progress.h"
#include "experiments/sweep/data_paths.h"

namespace mixspan {

namespace {

struct Vocabulary {
  std::int64_t size = 0;
  std::string problem;
};

/// Plans runs one after the other, and remembers what they have in common.
class Planner {
 public:
  Planner(const MachineFile& machine, std::int64_t jobs, const std::filesystem::path& paths)
      : machine_(machine), paths_(paths) {
    if (!machine_.shared) return;
    const auto parts = static_cast<double>(jobs);
    machine_.gemm_flops /= parts;
    machine_.attention_flops /= parts;
    machine_.memory_bandwidth /= parts;
    machine_.memory_bytes /= jobs;
  }

  PlannedRun plan(const SweepRun& run);

 private:
  const Vocabulary& vocabulary(const RunConfig& config);
  /// The plan of the runs that ask the same, or nothing.
  const PlannedRun* same(const PlanRequest& request) const;

  struct Known {
    ModelConfig model;
    ParallelConfig parallel;
    StepShape step;
    PlannedRun plan;
  };
  MachineFile machine_;
  const std::filesystem::path& paths_;
  std::map<std::pair<std::string, std::int64_t>, Vocabulary> vocabularies_;
  std::vector<Known> known_;  // seeds and learning rates change no plan
};

const Vocabulary& Planner::vocabulary(const RunConfig& c) {
  const auto [found, is_new] = vocabularies_.try_emplace({c.data.train, c.model.context});
  if (is_new) {
    try {
      found->second.size =
          open_training(data_from(paths_, c.data), c.model.context, 0)->vocab_size();
    } catch (const InputError& error) {
      found->second.problem = error.what();
    }
  }
  return found->second;
}

const PlannedRun* Planner::same(const PlanRequest& r) const {
  // Neighbours in a grid are alike, so the last ones come first.
  for (auto k = known_.rbegin(); k != known_.rend() && k < known_.rbegin() + 64; ++k) {
    if (k->model == r.model && k->parallel == r.parallel && k->step == r.step) {
      return &k->plan;
    }
  }
  return nullptr;
}

PlannedRun plan_of(const PlanRequest& request) {
  PlannedRun planned;
  planned.ranks = request.parallel.ranks();
  planned.attention_share = attention_share(request.model);
  try {
    const RunPlan plan = make_plan(request);
    planned.memory_bytes = plan.memory.total();
    planned.step_flops = plan.model_flops;
    planned.step_seconds = plan.time.total();
    if (planned.memory_bytes > request.machine.as_seen_by(planned.ranks).memory_bytes) {
      make_feasible_plan(request);  // for its line, with the meshes that would do
    }
  } catch (const InputError& error) {
    planned.problem = error.what();
  }
  return planned;
}

PlannedRun Planner::plan(const SweepRun& run) {
  PlanRequest request{run.config.model, run.config.parallel, run.config.step_shape(), machine_};
  PlannedRun planned;
  std::string problem;
  if (request.model.vocab == 0) {
    const Vocabulary& known = vocabulary(run.config);
    request.model.vocab = known.size;
    problem = known.problem;
  }
  if (problem.empty()) {
    const PlannedRun* known = same(request);
    if (known == nullptr) {
      known_.push_back({request.model, request.parallel, request.step, plan_of(request)});
      known = &known_.back().plan;
    }
    planned = *known;
  } else {
    planned.ranks = request.parallel.ranks();
    planned.attention_share = attention_share(request.model);
    planned.problem = problem;
  }
  planned.name = run.name;
  planned.seconds = planned.step_seconds * static_cast<double>(run.config.train.steps);
  return planned;
}

/// The name in at most `columns`, its end where the values that change fastest are.
std::string cut(const std::string& name, std::size_t columns) {
  return name.size() <= columns ? name : ".." + name.substr(name.size() - (columns - 2));
}

std::string step_text(double seconds) {
  return seconds < 10 ? fmt::format("{:.4g} ms", seconds * 1e3) : fmt::format("{:.1f} s", seconds);
}

std::string line_of(const PlannedRun& p, std::size_t columns) {
  const std::string begin = fmt::format("{:{}}  {:5}  {:8.1f}%", cut(p.name, columns), columns,
                                        p.ranks, 100 * p.attention_share);
  if (p.step_seconds == 0) return begin + "  cannot run\n";
  return fmt::format("{}  {:>8}  {:>9}  {:>9}  {:>7}{}\n", begin, human_bytes(p.memory_bytes),
                     human_count(p.step_flops), step_text(p.step_seconds),
                     human_duration(p.seconds), p.problem.empty() ? "" : " (!)");
}

/// Reasons in the order of the runs, each once.
std::string problems_of(const std::vector<PlannedRun>& plans) {
  constexpr std::size_t kNamed = 3;
  std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
  std::map<std::string, std::size_t> index;
  for (const PlannedRun& p : plans) {
    if (p.problem.empty()) continue;
    const auto [found, is_new] = index.try_emplace(p.problem, reasons.size());
    if (is_new) reasons.push_back({p.problem, {}});
    reasons[found->second].second.push_back(p.name);
  }
  std::string text;
  for (auto& [reason, names] : reasons) {
    const std::size_t more = names.size() - std::min(names.size(), kNamed);
    names.resize(names.size() - more);
    text += fmt::format("{}{}: {}\n", fmt::join(names, " "),
                        more > 0 ? fmt::format(" and {} more", more) : "", reason);
  }
  return text;
}

}  // namespace

std::vector<PlannedRun> plan_runs(const std::vector<SweepRun>& runs, const MachineFile& machine,
                                  std::int64_t jobs, const std::filesystem::path& paths) {
  check(jobs >= 1, "plan_runs: jobs = {}", jobs);
  Planner planner(machine, jobs, paths);
  std::vector<PlannedRun> plans;
  plans.reserve(runs.size());
  for (const SweepRun& run : runs) plans.push_back(planner.plan(run));
  return plans;
}

double time_of(const std::vector<PlannedRun>& plans, std::int64_t jobs) {
  check(jobs >= 1, "time_of: jobs = {}", jobs);
  std::priority_queue<double, std::vector<double>, std::greater<>> free_at;
  double end = 0;
  for (const PlannedRun& p : plans) {
    if (!p.problem.empty()) continue;
    double start = 0;
    if (free_at.size() == static_cast<std::size_t>(jobs)) {
      start = free_at.top();
      free_at.pop();
    }
    free_at.push(start + p.seconds);
    end = std::max(end, start + p.seconds);
  }
  return end;
}

std::string dry_run_table(const std::vector<PlannedRun>& plans, const std::string& machine,
                          std::int64_t jobs) {
  constexpr std::size_t kMostColumns = 36;
  std::size_t columns = 3, feasible = 0;
  for (const PlannedRun& p : plans) {
    columns = std::max(columns, std::min(p.name.size(), kMostColumns));
    feasible += p.problem.empty() ? 1 : 0;
  }
  std::string text = fmt::format(
      "{:{}}  ranks  attention    memory  FLOP/step      a step     all\n", "run", columns);
  for (const PlannedRun& p : plans) text += line_of(p, columns);
  text += fmt::format("{} runs on {}: {} of training steps{}\n", plans.size(), machine,
                      human_duration(time_of(plans, jobs)),
                      jobs > 1 ? fmt::format(", {} at a time", jobs) : "");
  text += "attention: FLOPs over those with all layers full; memory: of one rank\n";
  if (feasible < plans.size()) {
    text += fmt::format("{} of them cannot run:\n", plans.size() - feasible) + problems_of(plans);
  }
  return text;
}

}  // namespace mixspan
