// How a sweep stands, for a person who watches it.
#pragma once

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "experiments/run/progress.h"
#include "experiments/sweep/run_sight.h"

namespace mixspan {

/// One line for each run under one line of heads, no line end after the last. Lines are cut at
/// `width` columns; 0: never.
std::vector<std::string> table_lines(const std::vector<RunSight>& runs, int width = 0);
/// "6 runs: 4 done, 1 running, 1 failed"
std::string summary_line(const std::vector<RunSight>& runs);
/// One JSON object: the counts by state, and "runs", a list in the order given.
std::string to_json(const std::vector<RunSight>& runs);

/// On a terminal the table redraws itself in place, as many runs as fit; anywhere else a line is
/// printed when a run's state changes. Writes to a stream that outlives it.
class SweepTable {
 public:
  explicit SweepTable(std::FILE* stream);
  SweepTable(std::FILE* stream, LineStyle style, int height);

  bool live() const { return style_.live; }
  void show(const std::vector<RunSight>& runs);
  /// A line that stays, above the table.
  void note(const std::string& line);
  /// The run as it was shown last; null where it never was.
  const RunSight* shown(const std::string& run) const;

 private:
  void clear();
  void draw();
  std::FILE* stream_;
  LineStyle style_;
  int height_;  // lines of the terminal
  std::size_t drawn_ = 0;
  std::vector<std::string> lines_;           // live: on the screen now
  std::map<std::string, std::string> told_;  // else: the state that was printed last, by run
  std::map<std::string, RunSight> shown_;
};

}  // namespace mixspan
