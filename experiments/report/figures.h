// The figures of a report, from what the runs say.
#pragma once

#include <array>
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

/// Titles; what a report writes has their names, so that the next one knows its own files.
inline constexpr std::string_view kCostFigure = "Loss against attention cost";
inline constexpr std::string_view kLayersFigure = "Which layers are full";
inline constexpr std::string_view kEffectsFigure = "What one full layer is worth";
inline constexpr std::string_view kPositionFigure = "Loss by position";
inline constexpr std::string_view kEvaluationFigure = "Evaluation loss";
inline constexpr std::string_view kTrainingFigure = "Training loss";
inline constexpr std::string_view kTimeFigure = "Time over context";
inline constexpr std::string_view kMemoryFigure = "Memory over context";
inline constexpr std::array kFigureTitles{kCostFigure,     kLayersFigure,     kEffectsFigure,
                                          kPositionFigure, kEvaluationFigure, kTrainingFigure,
                                          kTimeFigure,     kMemoryFigure};

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
