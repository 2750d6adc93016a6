// What metrics.jsonl says, read back; also while the run still writes it.
#pragma once

#include <filesystem>
#include <vector>

#include "experiments/run/metrics.h"

namespace mixspan {

struct RunMetrics {
  std::vector<TrainMetrics> train;  ///< in the order of their steps
  std::vector<EvalMetrics> eval;
};

/// Empty where there is no file. A last line without its end is a line that is being written: left
/// out. A null loss (it was not finite) reads as NaN. Throws InputError "FILE:LINE: ..." for
/// anything else that metrics.h does not write; unknown kinds and keys are passed over, so that
/// older programs read newer files. Throws InputError where the file is there but cannot be opened,
/// Error where it cannot be read.
RunMetrics read_metrics(const std::filesystem::path& file);

}  // namespace mixspan
