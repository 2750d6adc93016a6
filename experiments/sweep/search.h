// A greedy search for the layers that need full attention.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace mixspan {

/// Indices of full layers, rising.
using Placement = std::vector<std::int64_t>;

struct SearchRules {
  Placement start;
  std::int64_t layers = 0;
  /// Whether a placement is within the budget.
  std::function<bool(const Placement&)> fits;
  /// Mean validation loss of a placement's runs, empty until all are finished. NaN, of a run that
  /// diverged, loses against all numbers.
  std::function<std::optional<double>(const Placement&)> loss;
};

/// The placements to train, in a fixed order: the start, then round by round the chosen placement
/// with each further layer that fits. A round is decided by the lowest loss, ties by the lower
/// layer, and the next one begins when all losses of it are known. What is returned for fewer
/// losses is the beginning of what is returned for more.
std::vector<Placement> greedy_search(const SearchRules& rules);

}  // namespace mixspan
