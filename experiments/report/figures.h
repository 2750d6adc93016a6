// The figures of a report, from what the runs say.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "experiments/report/chart.h"
#include "experiments/report/layer_effects.h"
#include "experiments/report/scaling_lines.h"
#include "experiments/report/variants.h"

namespace mixspan {

struct Figure {
  std::string title;    ///< also the name of its file
  std::string caption;  ///< plain text: what is drawn, from what, and how sure it is
  std::variant<Chart, HeatMap> drawing;
};
std::string to_svg(const Figure&, const FigureSize&, bool stand_alone = false);

/// Those that the study has anything to show in, in the order of the page.
std::vector<Figure> make_figures(const Findings&, const std::vector<EffectFamily>&,
                                 const std::vector<ScalingLine>&);

/// Loss of each part of the context, over the seeds of a variant.
struct PositionEstimate {
  std::size_t variant = 0;  ///< among Findings::variants
  std::int64_t begin = 0, end = 0;
  Estimate loss;
};
std::vector<PositionEstimate> losses_by_position(const Findings&);

}  // namespace mixspan
