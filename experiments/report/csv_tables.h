// The numbers of a report as CSV, with all their digits.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/figures.h"
#include "experiments/report/layer_effects.h"
#include "experiments/report/scaling_lines.h"
#include "experiments/report/variants.h"

namespace mixspan {

struct CsvTable {
  std::string name;  ///< of its file
  std::string text;  ///< RFC 4180, first line the columns' names; what is not known is empty
};

/// variants.csv, runs.csv, and where there is anything in them layers.csv, positions.csv,
/// scaling.csv. Columns are described in docs/report.md.
std::vector<CsvTable> make_csv_tables(const Findings&, const std::vector<EffectFamily>&,
                                      const std::vector<ScalingLine>&);

}  // namespace mixspan
