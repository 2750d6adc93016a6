// The section of a report on a scaling study: scale.json as a figure and a table.
#pragma once

#include <vector>

#include "experiments/report/figures.h"
#include "experiments/report/page.h"
#include "experiments/sweep/scale_summary.h"

namespace mixspan {

inline constexpr std::string_view kScaleFigure = "Step time: measured, planned, extrapolated";

/// Of each variant: measured steps, the plan, and what was not run, marked as such. Empty where
/// nothing was measured.
std::vector<Figure> scale_figures(const ScaleSummary&);

/// The figures, a table of all rows with the parts of a step's time, and the exponents.
PageSection scale_section(const ScaleSummary&, const std::vector<Figure>& figures);

}  // namespace mixspan
