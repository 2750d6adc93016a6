// `mixspan report`: tables and figures from run directories, in one file that opens anywhere.
#pragma once

#include <filesystem>

namespace mixspan {

struct ReportRequest {
  std::filesystem::path folder;  ///< every run directory in it, at any depth, is reported
  std::filesystem::path out;  ///< the HTML file; its figures and tables (SVG, CSV) lie beside it in
                              ///< a folder of its name without the extension
};

/// Replaces what an earlier report wrote. Works on runs that are unfinished, failed, or not begun.
/// Throws InputError where the folder holds no run, where `out` cannot be a file there, and where
/// the folder of tables would be a file or hold the runs.
void write_report(const ReportRequest&);

}  // namespace mixspan
