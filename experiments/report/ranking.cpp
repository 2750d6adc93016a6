#include "experiments/report/ranking.h"

#include <fmt/format.h>

#include <set>

namespace mixspan {

namespace {

using Seeds = std::set<std::int64_t>;

Seeds seeds_of(const Findings& study, const std::vector<std::size_t>& runs) {
  Seeds seeds;
  for (const std::size_t r : runs) seeds.insert(study.runs[r].config->train.seed);
  return seeds;
}

}  // namespace

Ranking rank(const Findings& study, const std::vector<std::size_t>& variants) {
  Seeds all, shared;
  bool is_first = true;
  for (const std::size_t i : variants) {
    const Variant& v = study.variants[i];
    all.merge(seeds_of(study, v.runs));
    if (!v.loss) continue;
    const Seeds own = seeds_of(study, v.counted);
    if (is_first) shared = own;
    std::erase_if(shared, [&](std::int64_t seed) { return !own.contains(seed); });
    is_first = false;
  }
  Ranking ranking{all.size(), shared.size(), {}};
  const Seeds& used = shared.empty() ? all : shared;
  for (const std::size_t i : variants) {
    const Variant& v = study.variants[i];
    std::vector<double> losses;
    for (const std::size_t r : v.counted) {
      const RunRecord& run = study.runs[r];
      if (used.contains(run.config->train.seed)) losses.push_back(run.last_eval->loss);
    }
    const bool complete = v.loss && losses.size() == used.size();
    ranking.losses.push_back(complete ? std::optional(mean_estimate(losses)) : std::nullopt);
  }
  return ranking;
}

std::string seeds_text(const Ranking& ranking) {
  if (ranking.shared == ranking.seeds) return "";
  if (ranking.shared > 0) {
    return fmt::format(
        " Losses are over the {} of {} seeds that all variants drawn here have counted.",
        ranking.shared, ranking.seeds);
  }
  return fmt::format(
      " No seed is counted in all variants: those that lack one of the {} seeds are drawn with the "
      "loss of those they have, and not ranked.",
      ranking.seeds);
}

std::string seeds_text(const Ranking& ranking, const Variant& v) {
  return fmt::format("{} of {} seeds", v.counted.size(), ranking.seeds);
}

}  // namespace mixspan
