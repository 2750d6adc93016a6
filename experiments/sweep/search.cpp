#include "experiments/sweep/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mixspan {

namespace {

/// `current` with each further layer that fits, in the order of the layers.
std::vector<Placement> candidates(const SearchRules& rules, const Placement& current) {
  std::vector<Placement> result;
  for (std::int64_t layer = 0; layer < rules.layers; ++layer) {
    const auto place = std::lower_bound(current.begin(), current.end(), layer);
    if (place != current.end() && *place == layer) continue;
    Placement more = current;
    more.insert(more.begin() + (place - current.begin()), layer);
    if (rules.fits(more)) result.push_back(std::move(more));
  }
  return result;
}

}  // namespace

std::vector<Placement> greedy_search(const SearchRules& rules) {
  std::vector<Placement> placements{rules.start};
  for (Placement current = rules.start;;) {
    const std::vector<Placement> round = candidates(rules, current);
    placements.insert(placements.end(), round.begin(), round.end());
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < round.size(); ++i) {
      const std::optional<double> loss = rules.loss(round[i]);
      if (!loss) return placements;
      if (i == 0 || *loss < best) current = round[i];
      if (*loss < best) best = *loss;
    }
    if (round.empty()) return placements;
  }
}

}  // namespace mixspan
