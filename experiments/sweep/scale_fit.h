// How time and memory grow with the length of a sequence, and what that says of lengths and meshes
// that were not run.
#pragma once

#include <string>
#include <vector>

#include "core/statistics.h"
#include "experiments/sweep/scale_point.h"

namespace mixspan {

/// quantity ~ context^exponent, by least squares of the logarithms.
struct GrowthFit {
  std::string variant;
  std::string quantity;  ///< "seconds per sequence" or "memory bytes"
  Estimate exponent;     ///< its interval is NaN with two lengths
};
/// For each variant that was measured at two lengths or more, in the order of the points.
std::vector<GrowthFit> fit_growth(const std::vector<ScalePoint>& points);

/// The plan's step time and memory, corrected by how far the plan was off where it could be
/// compared.
struct Extrapolation {
  Estimate step_ms;         ///< with the interval of one more measurement; NaN with one comparison
  double memory_bytes = 0;  ///< of the first rank's process
  bool of_variant = false;  ///< compared with runs of the same variant; else with all runs
};
/// For a point without a measurement. Ratios measured / planned are taken to be log-normal. A
/// process holds a line of what is planned for a rank: it may be several ranks, and the program.
/// Throws Error where nothing was measured at all.
Extrapolation extrapolate(const ScalePoint& point, const std::vector<ScalePoint>& points);

}  // namespace mixspan
