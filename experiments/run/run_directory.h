// The folder of one run, as its single writer (rank 0) sees it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/run/append_file.h"
#include "experiments/run/lease.h"
#include "experiments/run/status.h"

namespace mixspan {

struct RunDirectoryOptions {
  std::filesystem::path path;
  std::string config_toml;  ///< resolved: every default written out
  /// Keys in which a run may differ from the one that DIR holds, such as "log.*". They replace the
  /// old values in DIR/config.toml; a run that was finished with the old ones is open again.
  std::vector<std::string> may_change;
  std::int64_t steps = 0;  ///< for status.json
  std::string build;       ///< for the header line in log.txt
};

/// Opens DIR or makes it, and holds its lease until destroyed. Refuses a folder that holds a run
/// with another config, and one that another live process writes; a refusal changes no file. Where
/// the run is finished it writes nothing but the lease. A run that is destroyed while running or
/// saving, because something threw, has failed.
class RunDirectory {
 public:
  explicit RunDirectory(const RunDirectoryOptions& options);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path tensorboard() const { return path_ / "tensorboard"; }
  /// Times the run was opened before.
  std::int64_t restarts() const { return status_.restarts; }
  /// result.json is there.
  bool finished() const;

  /// Throws LeaseLost when another writer took the run over. For save_checkpoint()'s still_ours.
  void check_lease() const { lease_.check(); }

  /// Writes status.json at once. Like all that writes here, it throws LeaseLost rather than
  /// overwrite what a newer writer says.
  void set_state(RunState state, std::string_view last_error = {});
  /// Notes the step; writes status.json when the last writing is five seconds old.
  void heartbeat(std::int64_t step);
  /// Appends to log.txt and flushes; adds the time in front and the line end.
  void log(std::string_view line);
  /// Checks the lease, then replaces a file of the folder in one step.
  void write(std::string_view name, std::string_view text);
  /// Checks the lease, writes result.json, then state done. The last thing a run does.
  void write_result(std::string_view json);

 private:
  std::filesystem::path path_;
  RunStatus status_;
  Lease lease_;
  std::chrono::steady_clock::time_point status_written_;
  AppendFile log_;
};

/// Throws InputError, one line, where result.json or the newest checkpoint of `run_dir` has more
/// than `steps` steps: what is done cannot be undone, and would pass for a run of `steps`.
void require_steps(const std::filesystem::path& run_dir, std::int64_t steps);

}  // namespace mixspan
