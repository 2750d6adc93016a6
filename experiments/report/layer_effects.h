// What one full layer is worth: variants that differ in the span of one layer alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/statistics.h"
#include "experiments/report/variants.h"

namespace mixspan {

/// Layer `layer` is full in `with` and not in `without`; nothing else differs.
struct LayerEffect {
  std::int64_t layer = 0;
  std::size_t with = 0, without = 0;  ///< among Findings::variants
  Estimate gain;  ///< loss without it minus loss with it, over the seeds of both: > 0 is worth it
};

/// Effects that share one side: a layer added to `base`, or left out of it (made `span`).
struct EffectFamily {
  bool added = false;
  std::size_t base = 0;   ///< among Findings::variants
  std::string span = {};  ///< of the layer left out, where there are several; else ""
  std::vector<LayerEffect> effects = {};  ///< by layer, each once; two or more
};

/// All families of the study, whichever sweep the runs come from: one full layer at each place,
/// leave-one-out, the steps of a search.
std::vector<EffectFamily> layer_effects(const Findings&);

/// "added to none", "left out of all for sliding:64"
std::string name_of(const EffectFamily&, const Findings&);

}  // namespace mixspan
