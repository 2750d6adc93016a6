// How time and memory grow with the context, where runs of different contexts are there.
#pragma once

#include <string>
#include <vector>

#include "core/statistics.h"
#include "experiments/report/variants.h"

namespace mixspan {

struct ScalingPoint {
  double context = 0;       ///< tokens
  double us_per_token = 0;  ///< of a training step
  double memory_bytes = 0;  ///< most of the first rank's process
};

/// Variants that differ in their context alone, and in what follows from it (context_keys.h).
struct ScalingLine {
  std::string label;
  std::vector<ScalingPoint> points;  ///< by context; two or more
  /// log y over log context: slope is the exponent.
  Line time, memory;
};

/// Variants without measurements are left out.
std::vector<ScalingLine> scaling_lines(const Findings&);

}  // namespace mixspan
