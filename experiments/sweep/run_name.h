// Names of runs: readable, and the same whatever else the sweep has.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "experiments/sweep/sweep_run.h"

namespace mixspan {

/// Longest name of a run. File systems take 255 bytes, and files beside the folder add a suffix.
inline constexpr std::size_t kLongestName = 200;

/// How names call a key: its last part where no other key of `schema` ends so ("span"), else all of
/// it ("eval.every_steps").
std::string short_key(const ConfigSchema& schema, std::string_view key);

/// "full_layers=bottom-1,seed=2": the settings in the order of the keys of `schema`, whatever their
/// order here. In values, ":" and all that folders dislike is "-", a comma "+". A name that would
/// be longer than kLongestName is cut and ends in a hash of the settings. A function of the
/// settings and the schema's keys alone.
std::string name_of(const std::vector<Setting>& settings, const ConfigSchema& schema);

}  // namespace mixspan
