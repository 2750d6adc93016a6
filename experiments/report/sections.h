// The sections of a report as HTML.
#pragma once

#include <filesystem>
#include <string>

#include "experiments/report/page.h"
#include "experiments/report/variants.h"

namespace mixspan {

/// What was swept, how many runs are in which state, when they last wrote, by which build.
std::string lead_html(const Findings&);

/// One row for each variant, with what the numbers mean and what they do not say.
PageSection variants_section(const Findings&);

/// Keys that no run varies and that are not the defaults.
PageSection settings_section(const Findings&);

/// Every run: state, environment, config, and the command that repeats it.
PageSection runs_section(const Findings&);

}  // namespace mixspan
