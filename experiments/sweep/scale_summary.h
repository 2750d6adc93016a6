// What a scaling study found: one row for each setting, and how they grow. Kept as scale.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/sweep/scale_fit.h"
#include "experiments/sweep/sweep_file.h"

namespace mixspan {

struct ScaleRow {
  enum class Kind { measured, waiting, extrapolated };
  std::string run, variant, mesh;
  std::int64_t context = 0;
  Kind kind = Kind::waiting;  ///< waiting: to be run, and not finished
  /// Measured: the median, the fastest and the slowest step. Extrapolated: the corrected plan and
  /// its 95 % interval. NaN where it is not known.
  double step_ms = 0, low_ms = 0, high_ms = 0;
  double plan_step_ms = 0;
  double tokens_per_s = 0;  ///< at step_ms; NaN where that is not known
  std::optional<double> mfu;
  /// Of the first rank's process: measured, or, extrapolated, the corrected plan.
  std::optional<std::int64_t> memory_bytes;
  std::int64_t plan_memory_bytes = 0;   ///< of a rank
  std::optional<CommBytes> comm_bytes;  ///< measured, sent by the first rank
  CommBytes plan_comm_bytes;            ///< of the rank that sends most
  std::optional<StepParts> parts;
  bool of_variant = true;  ///< extrapolated: by runs of its variant; else by all runs
};

struct ScaleSummary {
  std::string machine;         ///< that the plans are made for
  std::vector<ScaleRow> rows;  ///< runs in the study's order, then what is extrapolated
  std::vector<GrowthFit> fits;
};

/// What is known of a study before it runs.
struct ScalePlan {
  std::string machine;
  std::int64_t warmup_steps = 0;
  std::vector<ScalePoint> points, beyond;  ///< beyond: not to be run
};
/// `paths`: where the data's relative paths begin. Throws InputError where data cannot be opened
/// for its vocabulary, or a mesh is not possible.
ScalePlan plan_scale(const SweepFile& study, const MachineFile& machine,
                     const std::filesystem::path& paths = {});

/// `runs`: the folder of the run directories. Throws InputError where a finished run's files cannot
/// be understood.
ScaleSummary summarize(ScalePlan plan, const std::filesystem::path& runs);

std::string to_json(const ScaleSummary&);
/// Throws InputError, naming the file, for anything that to_json() does not write.
ScaleSummary read_scale_summary(const std::filesystem::path& file);
/// RFC 4180, one line for each row.
std::string to_csv(const ScaleSummary&);
/// For a terminal: rows, exponents, extrapolations marked as such.
std::string to_text(const ScaleSummary&);

std::string_view name_of(ScaleRow::Kind kind);

}  // namespace mixspan
