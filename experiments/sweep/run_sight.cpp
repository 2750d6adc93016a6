#include "experiments/sweep/run_sight.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "experiments/run/lease.h"
#include "experiments/run/metrics_reader.h"
#include "experiments/sweep/child_process.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;

// A run on another host whose process cannot be seen writes a heartbeat at the end of a step, five
// seconds or more apart. A step may take minutes, so silence counts only after this.
constexpr std::int64_t kSilenceSeconds = 15 * 60;

std::optional<RunStatus> status_of(const fs::path& run_dir, std::string& note) {
  try {
    return read_status(run_dir);
  } catch (const InputError& error) {
    note = error.what();
    return {};
  }
}

bool is_writing(RunState state) { return state == RunState::running || state == RunState::saving; }

// Of a run that no job of the batch system holds: what it says, unless its process is gone.
void settle_without_job(const fs::path& run_dir, const RunStatus& status, RunSight& sight) {
  std::optional<LeaseHolder> holder;
  try {
    holder = lease_holder(run_dir);
  } catch (const InputError& error) {
    sight.note = error.what();
  }
  if (holder && holder->alive_here) {
    sight.alive_here = true;
    if (!is_writing(status.state)) sight.state = RunState::running;  // it has just begun again
    return;
  }
  if (status.state == RunState::queued) {  // announced, and then its job went or never came
    sight.state = RunState::interrupted;
    return;
  }
  if (!is_writing(status.state)) return;
  const std::int64_t silence = unix_time() - status.heartbeat;
  if (holder && holder->host != host_name() && silence < kSilenceSeconds) return;
  sight.state = RunState::interrupted;
  sight.note = holder && holder->host != host_name()
                   ? fmt::format("no sign of life from {} for {} s", holder->host, silence)
                   : fmt::format("process {} is gone", status.pid);
}

// Returns whether the batch system decides.
bool settle_by_job(const fs::path& run_dir, const RunStatus& status, const JobStates* jobs,
                   RunSight& sight) {
  if (status.job_id.empty()) return false;
  if (jobs == nullptr) return status.state == RunState::queued || is_writing(status.state);
  const auto job = jobs->find(status.job_id);
  if (job != jobs->end()) {
    const bool waits = job->second == "PENDING" || job->second.starts_with("REQUEUE");
    if (waits) {
      sight.state = RunState::queued;
    } else if (status.state != RunState::queued && !is_writing(status.state)) {
      sight.state = RunState::running;  // starting again, or its job is about to end
    }
    sight.note = fmt::format("job {} {}", status.job_id, job->second);
    return true;
  }
  if (status.state == RunState::queued || is_writing(status.state)) {
    sight.state = RunState::interrupted;
    sight.note = fmt::format("job {} is gone", status.job_id);
  }
  if (status.state == RunState::queued) {
    // A run that refuses its config or data does so before it opens its folder; its job's log has
    // the reason.
    const fs::path sweep = run_dir.parent_path().parent_path();
    const LastWords words = last_words(sweep / "slurm" / (status.job_id + ".log"));
    if (!words.error.empty()) {
      sight.state = RunState::failed;
      sight.note = words.error;
    }
  }
  return true;
}

void add_result(const fs::path& run_dir, RunSight& sight) {
  std::ifstream in(run_dir / "result.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool good = json.is_object() && json.contains("steps") && json["steps"].is_number_integer();
  if (!good) {
    sight.note = fmt::format("{}: is damaged", (run_dir / "result.json").string());
    return;
  }
  sight.step = sight.steps = json["steps"].get<std::int64_t>();
  if (json.contains("loss") && json["loss"].is_number()) {
    sight.train_loss = json["loss"].get<double>();
  }
  if (json.contains("eval") && json["eval"].contains("loss") && json["eval"]["loss"].is_number()) {
    sight.eval_loss = json["eval"]["loss"].get<double>();
  }
}

void add_metrics(const fs::path& run_dir, RunSight& sight) {
  try {
    const RunMetrics metrics = read_metrics(run_dir / "metrics.jsonl");
    if (!metrics.eval.empty()) sight.eval_loss = metrics.eval.back().loss;
    if (metrics.train.empty()) return;
    const TrainMetrics& last = metrics.train.back();
    sight.train_loss = last.loss;
    sight.step = std::max(sight.step, last.step);
    if (sight.state == RunState::running || sight.state == RunState::saving) {
      sight.left_s = last.step_ms / 1e3 * static_cast<double>(sight.steps - sight.step);
    }
  } catch (const InputError& error) {
    if (sight.note.empty()) sight.note = error.what();
  }
}

RunSight look_once(const fs::path& run_dir, const std::string& name, const JobStates* jobs) {
  RunSight sight;
  sight.name = name;
  const std::optional<RunStatus> status = status_of(run_dir, sight.note);
  if (status) {
    sight.state = status->state;
    sight.step = status->step;
    sight.steps = status->steps;
    sight.restarts = status->restarts;
    sight.job_id = status->job_id;
    if (sight.note.empty()) sight.note = status->last_error;
  }
  if (fs::exists(run_dir / "result.json")) {
    sight.state = RunState::done;
    sight.note.clear();
    return sight;
  }
  if (!status) {
    if (fs::exists(run_dir / "config.toml")) sight.state = RunState::interrupted;
    return sight;
  }
  if (status->state == RunState::done) sight.state = RunState::interrupted;  // it is open again
  if (!settle_by_job(run_dir, *status, jobs, sight)) settle_without_job(run_dir, *status, sight);
  return sight;
}

}  // namespace

std::string_view state_name(const RunSight& sight) {
  return sight.state ? name_of(*sight.state) : "missing";
}

bool needs_start(const RunSight& sight) {
  return !sight.state || *sight.state == RunState::failed || *sight.state == RunState::interrupted;
}

RunSight look_at_state(const fs::path& run_dir, const std::string& name, const JobStates* jobs) {
  RunSight sight = look_once(run_dir, name, jobs);
  // Where it ended well between the reading of its status and the search for its process, a second
  // look tells; a run removes its lease last.
  if (sight.state == RunState::interrupted) sight = look_once(run_dir, name, jobs);
  return sight;
}

RunSight look_at(const fs::path& run_dir, const std::string& name, const JobStates* jobs) {
  RunSight sight = look_at_state(run_dir, name, jobs);
  if (sight.state == RunState::done) {
    add_result(run_dir, sight);
  } else if (sight.state) {
    add_metrics(run_dir, sight);
  }
  return sight;
}

std::optional<double> final_eval_loss(const fs::path& run_dir) {
  if (!fs::exists(run_dir / "result.json")) return {};
  const RunMetrics metrics = read_metrics(run_dir / "metrics.jsonl");
  if (metrics.eval.empty()) return {};
  return metrics.eval.back().loss;
}

}  // namespace mixspan
