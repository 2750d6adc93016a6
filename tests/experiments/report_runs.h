// Run directories as `mixspan train` leaves them, with losses that a test chooses.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "experiments/run/run_config.h"
#include "experiments/run/status.h"

namespace mixspan::test {

/// Small, valid, with every key that reports look at.
RunConfig report_config(const std::string& full_layers, std::int64_t seed);

struct FakeRun {
  RunConfig config;
  RunState state = RunState::done;  ///< done: with result.json
  double loss = 3;                  ///< of the last evaluation
  std::int64_t records = 20;        ///< of training, spread over the steps
  std::string error = {};           ///< in status.json
  std::string job_id = "17_3";      ///< in status.json; "": started by hand
};

/// A number in [0, 1) that depends on `key` alone.
double noise(const std::string& key);

/// Writes config.toml, metrics.jsonl (evaluations at half and at the end), status.json, log.txt
/// and result.json.
void write_run(const std::filesystem::path& folder, const FakeRun& run);

/// A sweep in `out`: layouts x seeds on six layers, two spans, with a loss that falls with every
/// full layer; besides a failed, a running and a not begun run.
void write_sweep(const std::filesystem::path& out, std::int64_t seeds);

}  // namespace mixspan::test
