// metrics.jsonl: what a run measured, one JSON object a line.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/run/append_file.h"

namespace mixspan {

struct CommBytes {
  std::int64_t dp = 0, cp = 0, tp = 0;  ///< counted, of one step, sent by one rank
};

struct TrainMetrics {
  std::int64_t step = 0;
  std::int64_t tokens = 0;  ///< seen since the run began
  double loss = 0;          ///< mean over targets, nats
  double grad_norm = 0;     ///< before clipping
  double lr = 0;
  double tokens_per_s = 0;
  std::optional<double> mfu = {};  ///< null where no peak is known
  double step_ms = 0;
  std::int64_t memory_bytes = 0;
  CommBytes comm_bytes;
};

/// The targets at positions [begin, end) of their sequences.
struct PositionLoss {
  std::int64_t begin = 0, end = 0, targets = 0;
  double loss = 0;
};

struct EvalMetrics {
  std::int64_t step = 0;
  std::int64_t tokens = 0;  ///< seen in training when this was measured
  std::string data;         ///< what it was measured on
  std::int64_t context = 0;
  std::int64_t targets = 0;
  double loss = 0;                           ///< mean over targets, nats
  std::optional<double> bits_per_byte = {};  ///< where the tokens stand for bytes of text
  std::optional<double> accuracy = {};       ///< share of targets that were the likeliest token
  std::vector<PositionLoss> by_position = {};
};

/// One line without its line end, keys in the order of the struct; numbers read back to the same
/// bits. JSON has no NaN or infinity: they become null.
std::string to_json(const TrainMetrics& metrics);
std::string to_json(const EvalMetrics& metrics);  ///< adds "perplexity" = exp(loss)

/// The keys whose values depend on the machine and the moment; all others of a killed and resumed
/// run equal those of one that ran through.
inline constexpr std::array<std::string_view, 4> kTimingKeys{"tokens_per_s", "mfu", "step_ms",
                                                             "memory_bytes"};

/// Appends to a metrics.jsonl. For a resumed run to leave the same file as an uninterrupted one,
/// write every line of a step, then sync(), then save that step's checkpoint.
class MetricsWriter {
 public:
  /// Keeps the lines of steps <= last_step and drops what came after it: later steps, half a line.
  /// Give the step of the checkpoint that the run continues from, -1 for a fresh start.
  MetricsWriter(const std::filesystem::path& file, std::int64_t last_step);

  /// Appends and flushes to the kernel: a killed process loses nothing.
  void write(const TrainMetrics& metrics) { write_line(to_json(metrics)); }
  void write(const EvalMetrics& metrics) { write_line(to_json(metrics)); }
  void write_line(std::string_view json);
  /// Makes what was written survive a crash of the machine.
  void sync() { file_.sync(); }

 private:
  AppendFile file_;
};

}  // namespace mixspan
