#include "experiments/run/run_directory.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/durable_file.h"
#include "core/error.h"
#include "experiments/run/checkpoint_folder.h"
#include "experiments/run/config_diff.h"

namespace mixspan {

namespace {

// Each writing costs two fsyncs, some milliseconds to some tens of them.
constexpr std::chrono::seconds kHeartbeat(5);

std::string time_text() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(unix_time())); }

std::optional<std::string> old_config(const std::filesystem::path& folder) {
  std::ifstream in(folder / "config.toml", std::ios::binary);
  if (!in.is_open()) return {};
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

std::string value_text(const std::string& value) { return value.empty() ? "nothing" : value; }

// The allowed differences. Throws on the first that is not.
std::vector<ConfigDifference> accepted_changes(const RunDirectoryOptions& options) {
  const std::optional<std::string> old = old_config(options.path);
  if (!old) return {};
  std::vector<ConfigDifference> changes = config_differences(*old, options.config_toml);
  for (const ConfigDifference& d : changes) {
    require(matches_any(d.key, options.may_change),
            "{}: holds a run whose {} is {}, and the config says {}; give another --run-dir, or "
            "the old value",
            options.path.string(), d.key, value_text(d.old_value), value_text(d.new_value));
    if (d.key == "train.steps") require_steps(options.path, options.steps);
  }
  return changes;
}

// Everything that can be refused without the lease is refused before it is taken, so that a
// refusal changes nothing.
const std::filesystem::path& usable_folder(const RunDirectoryOptions& options) {
  const std::filesystem::path& path = options.path;
  std::error_code error;
  std::filesystem::create_directories(path, error);
  require(std::filesystem::is_directory(path), "{}: cannot be made a run directory: {}",
          path.string(), error ? error.message() : "it is not a folder");
  require(::access(path.c_str(), W_OK | X_OK) == 0, "{}: cannot be written to", path.string());
  if (!std::filesystem::exists(path / "config.toml")) {
    for (const char* part : {"metrics.jsonl", "checkpoints", "result.json"}) {
      require(!std::filesystem::exists(path / part),
              "{}: has a {} but no config.toml, so it is not known what run it belongs to; give "
              "another --run-dir",
              path.string(), part);
    }
  }
  accepted_changes(options);
  return path;
}

RunStatus next_status(const RunDirectoryOptions& options) {
  RunStatus status;
  try {
    const std::optional<RunStatus> before = read_status(options.path);
    if (before) {
      status = *before;
      // A queued run was announced by a sweep and not opened yet.
      status.restarts += before->state == RunState::queued ? 0 : 1;
    }
  } catch (const InputError&) {  // it only informs; the next writing mends it
  }
  status.steps = options.steps;
  status.job_id = job_id();
  status.host = host_name();
  status.pid = ::getpid();
  return status;
}

// What a result.json says that can be read; 0 otherwise.
std::int64_t finished_steps(const std::filesystem::path& run_dir) {
  std::ifstream in(run_dir / "result.json", std::ios::binary);
  const auto json = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  const bool good = json.is_object() && json.contains("steps") && json["steps"].is_number_integer();
  return good ? json["steps"].get<std::int64_t>() : 0;
}

}  // namespace

void require_steps(const std::filesystem::path& run_dir, std::int64_t steps) {
  const std::vector<StepFolder> saved = step_folders(run_dir / "checkpoints");
  const std::int64_t done = std::max(finished_steps(run_dir), saved.empty() ? 0 : saved[0].step);
  require(steps >= done,
          "{}: holds a run that has done {} steps, and the config says train.steps = {}; wanted {} "
          "or more, or another folder",
          run_dir.string(), done, steps, done);
}

RunDirectory::RunDirectory(const RunDirectoryOptions& options)
    : path_(usable_folder(options)),
      status_(next_status(options)),
      lease_(Lease::take(path_, status_.restarts)),
      log_(path_ / "log.txt", AppendFile::Open::append) {
  const std::vector<ConfigDifference> changes = accepted_changes(options);
  if (!changes.empty()) std::filesystem::remove(path_ / "result.json");
  if (finished()) {
    if (status_.state != RunState::done) set_state(RunState::done);  // killed just before it
    return;
  }
  log(fmt::format("==== start {} on {}, process {}{}, {} ====", status_.restarts + 1, status_.host,
                  status_.pid, status_.job_id.empty() ? "" : ", job " + status_.job_id,
                  options.build));
  for (const ConfigDifference& d : changes) {
    log(fmt::format("config: {} was {}, is {}", d.key, value_text(d.old_value),
                    value_text(d.new_value)));
  }
  if (!changes.empty() || !std::filesystem::exists(path_ / "config.toml")) {
    replace_file(path_ / "config.toml", options.config_toml);
  }
  set_state(RunState::running);
}

RunDirectory::~RunDirectory() {
  if (status_.state != RunState::running && status_.state != RunState::saving) return;
  try {
    set_state(RunState::failed, "the run ended without saying why");
  } catch (const std::exception&) {  // the disk, or the lease, is gone too
  }
}

bool RunDirectory::finished() const { return std::filesystem::exists(path_ / "result.json"); }

void RunDirectory::set_state(RunState state, std::string_view last_error) {
  check_lease();
  status_.state = state;
  status_.last_error = last_error;
  status_.heartbeat = unix_time();
  write_status(path_, status_);
  status_written_ = std::chrono::steady_clock::now();
}

void RunDirectory::heartbeat(std::int64_t step) {
  status_.step = step;
  if (std::chrono::steady_clock::now() - status_written_ < kHeartbeat) return;
  set_state(status_.state, status_.last_error);
}

void RunDirectory::log(std::string_view line) {
  log_.write(fmt::format("{} {}\n", time_text(), line));
}

void RunDirectory::write(std::string_view name, std::string_view text) {
  check_lease();
  replace_file(path_ / name, text);
}

void RunDirectory::write_result(std::string_view json) {
  write("result.json", json);
  set_state(RunState::done);
}

}  // namespace mixspan
