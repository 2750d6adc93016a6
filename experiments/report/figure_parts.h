// What several figures share: colours of variants, words; and the figures of layers.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/figures.h"

namespace mixspan {

/// Few variants have a colour and a name each. Many are shaded by their attention cost, and only
/// the best, the worst and the all-full ones are named.
class VariantColors {
 public:
  explicit VariantColors(const Findings&);
  bool few() const { return few_; }
  /// Those that may be drawn, so that the named ones come last, on top.
  const std::vector<std::size_t>& order() const { return order_; }
  std::string color(std::size_t variant) const;
  std::string name(std::size_t variant) const;  ///< "" where it is not named
  std::string explanation() const;              ///< for captions; begins with a blank

 private:
  const Findings& study_;
  bool few_;
  std::vector<std::size_t> order_;
  std::vector<bool> named_;
};

/// The variant's label without what its settings already say.
std::string spans_label(const Findings&, const Variant&);

/// " [1.20, 1.40]", or "" where there is no interval.
std::string interval_text(const Estimate&, int digits);

/// One for each settings that tried different full layers, at most six.
std::vector<Figure> layer_maps(const Findings&);
Figure layer_effect_figure(const Findings&, const std::vector<EffectFamily>&);

}  // namespace mixspan
