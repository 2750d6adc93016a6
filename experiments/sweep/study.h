// Named studies: grids that fill themselves.
#pragma once

#include <string>
#include <vector>

#include "experiments/sweep/run_keys.h"

namespace mixspan {

enum class StudyKind { placement, count, span, leave_one_out, search };

/// [study]: an axis of one key, whose values follow from a question.
struct Study {
  StudyKind kind = StudyKind::placement;
  int line = 0;
  std::string key;                      ///< "model.full_layers" or "model.span"
  std::vector<std::int64_t> counts;     ///< placement, count: numbers of full layers
  std::vector<std::string> strategies;  ///< placement, count: "bottom", ...
  std::vector<std::string> spans;       ///< span
  std::string placement;                ///< leave-one-out: whose layers are left out; search: start
  double budget = 0;                    ///< search: share of the all-full model's attention
};

/// Throws InputError, one line with file and line.
Study read_study(const TomlNode& table, RunKeys& keys);

/// The study's values in a model of so many layers, in the order in which they are run; a search's
/// first one alone. Throws InputError where the model has not as many layers.
std::vector<KeyValue> study_values(const Study& study, std::int64_t layers,
                                   const std::string& file);

/// Layers as model.full_layers lists them: "0,3,5"; "none" where there is none.
std::string list_of(const std::vector<std::int64_t>& layers);

}  // namespace mixspan
