// Which losses may be put in order: a mean over easy seeds is not better than one over hard ones.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/statistics.h"
#include "experiments/report/variants.h"

namespace mixspan {

/// Losses of several variants over the same seeds.
struct Ranking {
  std::size_t seeds = 0;   ///< that the variants have runs of, whatever came of them
  std::size_t shared = 0;  ///< that each variant with a loss has counted
  /// Of each variant in the order asked for: over the shared seeds. Where there are none, over all
  /// seeds, and empty for a variant that lacks one; always empty without a loss.
  std::vector<std::optional<Estimate>> losses;
};
/// `variants`: among Findings::variants.
Ranking rank(const Findings&, const std::vector<std::size_t>& variants);

/// For captions, beginning with a blank: over which seeds the losses are; "" where every variant
/// with a loss has counted every seed.
std::string seeds_text(const Ranking&);

/// For hints: "2 of 3 seeds".
std::string seeds_text(const Ranking&, const Variant&);

}  // namespace mixspan
