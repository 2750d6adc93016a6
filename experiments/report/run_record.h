// What a report needs of one run, read from its folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/run/metrics.h"
#include "experiments/run/run_config.h"
#include "experiments/run/status.h"

namespace mixspan {

struct LossPoint {
  double tokens = 0;      ///< seen in training
  double loss = 0;        ///< nats; NaN where it was not finite
  std::int64_t part = 0;  ///< of the planned steps; of an evaluation, its step
};

struct RunRecord {
  std::string name;                   ///< its folder below the one reported on
  std::filesystem::path folder;       ///< empty: not begun
  std::filesystem::path config_file;  ///< empty: there is none yet
  std::optional<RunConfig> config;    ///< empty: none, or it cannot be read
  std::string config_text;
  std::string state;    ///< one of RunState as look_at_state() has it, "not begun" or "unreadable"
  std::string problem;  ///< what could not be read, or why the run ended; one line
  std::optional<RunStatus> status;
  std::string build;  ///< of the program that ran last; empty: not known
  bool finished = false;

  /// Means of kCurveParts equal parts of the planned steps; parts without a record are left out.
  std::vector<LossPoint> training;
  std::vector<LossPoint> evaluation;  ///< those on the same targets as the last one
  std::optional<EvalMetrics> last_eval;
  std::int64_t records = 0;  ///< of training steps
  /// Medians over the records, and the most memory of the first rank's process; NaN without a
  /// record.
  double tokens_per_s = 0, step_ms = 0, memory_bytes = 0;
};
inline constexpr std::int64_t kCurveParts = 120;

/// Every run below `folder` (or the one that it is), in the order of their names, numbers in them
/// by value. With folder/configs, as a sweep has it, those that have not begun too. What cannot be
/// read of a run is said in its `problem`. Throws InputError where there is no folder or no run.
std::vector<RunRecord> read_runs(const std::filesystem::path& folder);

/// Whether a comes before b, digits compared as numbers: "bottom:2" before "bottom:10".
bool natural_less(std::string_view a, std::string_view b);

}  // namespace mixspan
