#include "experiments/report/run_record.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/statistics.h"
#include "core/text.h"
#include "core/thread_pool.h"
#include "experiments/run/metrics_reader.h"
#include "experiments/sweep/run_sight.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool is_run(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / "manifest.json", ignored)) return false;  // a checkpoint
  return fs::exists(folder / "config.toml", ignored) || fs::exists(folder / "status.json", ignored);
}

/// Name -> folder. What lies inside a run (checkpoints) is not looked at.
void find_runs(const fs::path& folder, const fs::path& name, std::map<std::string, fs::path>& to) {
  if (is_run(folder)) {
    const fs::path own = fs::absolute(folder / "").parent_path().filename();
    to.emplace(name.empty() ? own.string() : name.generic_string(), folder);
    return;
  }
  for (const auto& entry :
       fs::directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    if (entry.is_symlink() || !entry.is_directory()) continue;
    find_runs(entry.path(), name / entry.path().filename(), to);
  }
}

std::vector<LossPoint> in_parts(const std::vector<TrainMetrics>& records, std::int64_t steps) {
  std::vector<LossPoint> sums(static_cast<std::size_t>(kCurveParts));
  std::vector<std::int64_t> counts(sums.size());
  for (const TrainMetrics& m : records) {
    const std::int64_t last = std::max<std::int64_t>(steps, records.back().step);
    const auto part = static_cast<std::size_t>(
        std::clamp<std::int64_t>((m.step - 1) * kCurveParts / last, 0, kCurveParts - 1));
    sums[part].tokens += static_cast<double>(m.tokens);
    sums[part].loss += m.loss;
    ++counts[part];
  }
  std::vector<LossPoint> means;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (counts[i] == 0) continue;
    const auto n = static_cast<double>(counts[i]);
    means.push_back({sums[i].tokens / n, sums[i].loss / n, static_cast<std::int64_t>(i)});
  }
  return means;
}

// Whether both are means over the same targets: eval.rows may have changed on the way.
bool same_evaluation(const EvalMetrics& a, const EvalMetrics& b) {
  return a.data == b.data && a.context == b.context && a.targets == b.targets;
}

void add_metrics(RunRecord& run) {
  RunMetrics metrics = read_metrics(run.folder / "metrics.jsonl");
  run.records = static_cast<std::int64_t>(metrics.train.size());
  std::vector<double> speed, time;
  run.memory_bytes = kNone;
  for (const TrainMetrics& m : metrics.train) {
    speed.push_back(m.tokens_per_s);
    time.push_back(m.step_ms);
    run.memory_bytes = std::fmax(run.memory_bytes, static_cast<double>(m.memory_bytes));
  }
  run.tokens_per_s = median(std::move(speed));
  run.step_ms = median(std::move(time));
  run.training = in_parts(metrics.train, run.config ? run.config->train.steps : 0);
  for (const EvalMetrics& m : metrics.eval) {
    if (!same_evaluation(m, metrics.eval.back())) continue;
    const bool again = !run.evaluation.empty() && run.evaluation.back().part == m.step;
    if (again) run.evaluation.pop_back();
    run.evaluation.push_back({static_cast<double>(m.tokens), m.loss, m.step});
  }
  if (!metrics.eval.empty()) run.last_eval = std::move(metrics.eval.back());
}

/// From result.json, else from the last start in the log.
std::string build_of(const fs::path& folder) {
  const auto result = nlohmann::json::parse(text_of(folder / "result.json"), nullptr, false);
  if (result.is_object() && result.contains("build") && result["build"].is_string()) {
    return result["build"].get<std::string>();
  }
  const std::string log = text_of(folder / "log.txt");
  const std::size_t start = log.rfind("==== start ");
  if (start == std::string::npos) return "";
  const std::string line = log.substr(start, log.find('\n', start) - start);
  const std::size_t comma = line.rfind(", "), end = line.rfind(" ====");
  return comma == std::string::npos || end <= comma ? "" : line.substr(comma + 2, end - comma - 2);
}

void read_run(RunRecord& run) {
  if (!run.config_file.empty()) run.config_text = text_of(run.config_file);
  run.tokens_per_s = run.step_ms = run.memory_bytes = kNone;
  run.state = run.folder.empty() ? "not begun" : "queued";
  try {
    if (!run.config_text.empty()) {
      RunConfig config;
      schema_of(config).read_text(run.config_text, run.config_file.string());
      validate(config, Purpose::plan);
      run.config = std::move(config);
    }
    if (run.folder.empty()) return;
    run.build = build_of(run.folder);
    run.status = read_status(run.folder);
    if (run.status) {
      run.problem = one_line(run.status->last_error, 400);
    }
    // What status.json says may be long over: a killed run says that it is running.
    const RunSight sight = look_at_state(run.folder, run.name, nullptr);
    if (sight.state) run.state = name_of(*sight.state);
    if (sight.state == RunState::interrupted && run.problem.empty()) {
      run.problem = one_line(sight.note, 400);
    }
    run.finished = sight.state == RunState::done;
    add_metrics(run);
  } catch (const Error& error) {  // a disk that cannot be read is one run's trouble too
    run.state = "unreadable";
    run.finished = false;
    run.problem = one_line(error.what(), 400);
  }
}

}  // namespace

bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      while (i + 1 < a.size() && a[i] == '0' && digit(a[i + 1])) ++i;
      while (j + 1 < b.size() && b[j] == '0' && digit(b[j + 1])) ++j;
      std::size_t x = i, y = j;
      while (x < a.size() && digit(a[x])) ++x;
      while (y < b.size() && digit(b[y])) ++y;
      if (x - i != y - j) return x - i < y - j;
      const int order = a.substr(i, x - i).compare(b.substr(j, y - j));
      if (order != 0) return order < 0;
      i = x;
      j = y;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  const bool a_ended = i == a.size(), b_ended = j == b.size();
  return a_ended != b_ended ? a_ended : a < b;
}

std::vector<RunRecord> read_runs(const fs::path& folder) {
  require(fs::is_directory(folder),
          "{}: no such folder; wanted a run directory or a folder of them", folder.string());
  const bool sweep = fs::is_directory(folder / "configs") && !is_run(folder);
  std::map<std::string, fs::path> folders, configs;
  find_runs(sweep && fs::is_directory(folder / "runs") ? folder / "runs" : folder, "", folders);
  if (sweep) {
    for (const auto& entry : fs::directory_iterator(folder / "configs")) {
      if (entry.path().extension() == ".toml") configs[entry.path().stem()] = entry.path();
    }
  }
  std::vector<RunRecord> runs;
  for (const auto& [name, path] : folders) {
    RunRecord& run = runs.emplace_back();
    run.name = name;
    run.folder = path;
    const auto planned = configs.find(name);
    if (fs::exists(path / "config.toml")) {
      run.config_file = path / "config.toml";
    } else if (planned != configs.end()) {
      run.config_file = planned->second;
    }
  }
  for (const auto& [name, path] : configs) {
    if (folders.contains(name)) continue;
    RunRecord& run = runs.emplace_back();
    run.name = name;
    run.config_file = path;
  }
  require(!runs.empty(), "{}: holds no run; a run directory has a config.toml", folder.string());
  std::sort(runs.begin(), runs.end(),
            [](const RunRecord& a, const RunRecord& b) { return natural_less(a.name, b.name); });
  ThreadPool threads;
  threads.for_each(static_cast<std::int64_t>(runs.size()),
                   [&](std::int64_t i, int) { read_run(runs[static_cast<std::size_t>(i)]); });
  return runs;
}

}  // namespace mixspan
