// The sections of a report as HTML.
#pragma once

#include <filesystem>
#include <string>

#include "experiments/report/page.h"
#include "experiments/report/variants.h"

namespace mixspan {

/// What was swept, how many runs are in which state, when they last wrote, by which build.
std::string lead_html(const Study&);

/// One row for each variant, with what the numbers mean and what they do not say.
PageSection variants_section(const Study&);

/// Keys that no run varies and that are not the defaults.
PageSection settings_section(const Study&);

/// Every run: state, environment, config, and the command that repeats it.
PageSection runs_section(const Study&);

}  // namespace mixspan
