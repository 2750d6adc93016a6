// One run of a sweep, before it runs.
#pragma once

#include <string>
#include <vector>

#include "experiments/run/run_config.h"

namespace mixspan {

/// A key that the sweep gave a value of its own, as `--set KEY=VALUE` would.
struct Setting {
  std::string key;    ///< "model.full_layers"
  std::string value;  ///< as TOML writes it: "\"bottom:2\""
  friend bool operator==(const Setting&, const Setting&) = default;
};

struct SweepRun {
  std::string name;  ///< of its folder: letters, digits and "-_.,=+" only; unique in the sweep
  RunConfig config;  ///< resolved and valid, its model.vocab may be 0
  std::vector<Setting>
      settings;  ///< in which it differs from the sweep's base, in the file's order
};

}  // namespace mixspan
