// What a sweep file says, section by section.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/sweep/grid.h"
#include "experiments/sweep/study.h"
#include "experiments/sweep/sweep_file.h"
#include "experiments/sweep/sweep_options.h"
#include "experiments/sweep/sweep_run.h"

namespace mixspan {

/// One point of the product of all axes but a search's, with a config that has its values.
struct GridPoint {
  Point values;
  RunConfig config;
};

struct SweepContent {
  std::filesystem::path path;
  std::string file;  ///< the path, for messages
  std::string text;
  SweepKind kind = SweepKind::sweep;
  SweepOptions options;
  ScaleOptions scale;
  LocalLaunch local;
  SlurmLaunch slurm;
  std::vector<Axis> axes;  ///< without the study's
  std::optional<Study> study;
  std::vector<Filter> only, exclude;
  std::vector<Axis> beyond;  ///< of [extrapolate]: they take the places of `axes` with their keys

  RunConfig base;              ///< with [set] and --set
  std::vector<SweepRun> runs;  ///< all of them, or a search's first ones
  std::vector<SweepRun> extrapolated;
  /// Of a search: the points that one choice of layers is made for, which differ in the seed.
  std::vector<std::vector<GridPoint>> searches;
};

/// Reads the file's sections; `runs`, `extrapolated` and `searches` stay empty. `base` gets the
/// base's values, and where they came from. Throws InputError, one line.
SweepContent read_sweep(const std::filesystem::path& path, const std::vector<std::string>& sets,
                        SweepKind kind, RunKeys& base);

}  // namespace mixspan
