#include <fmt/format.h>

#include "experiments/cli/commands.h"
#include "experiments/report/report.h"

namespace mixspan {

ExitCode report_command(const ReportArgs& a) {
  const std::filesystem::path out = a.out.empty() ? a.folder / "report.html" : a.out;
  write_report({a.folder, out});
  fmt::print("{} (tables and figures in {})\n", out.string(),
             std::filesystem::path(out).replace_extension("").string());
  return kFinished;
}

}  // namespace mixspan
