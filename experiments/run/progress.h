// The live line of a run: one line that redraws itself on a terminal, plain lines anywhere else.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

namespace mixspan {

struct Progress {
  std::int64_t step = 0, steps = 0;
  double loss = 0, grad_norm = 0, lr = 0;
  double tokens_per_s = 0;
  std::optional<double> mfu = {};  ///< a fraction; absent where no peak is known
  std::int64_t memory_bytes = 0;
  double eta_s = 0;  ///< negative or not finite: not known yet
};

struct LineStyle {
  bool live = false;   ///< redraw in place with a carriage return
  bool color = false;  ///< bold loss, dim names
  int width = 0;       ///< columns that may be used; 0 is no limit
  /// A terminal is live; it has colour unless NO_COLOR is set to anything (no-color.org).
  static LineStyle of(std::FILE* stream);
};

/// `step 1200/10000  loss 3.8123  gnorm 0.84  lr 3.0e-04  tok/s 48.2k  mfu 41.3%  mem 1.2G  eta
/// 2h13m` Where the width is too small, fields go in this order: mem, lr, gnorm, mfu, tok/s, eta.
std::string progress_text(const Progress& progress, const LineStyle& style);

std::string human_count(double value);        ///< 950, 48.2k, 1.3M, 2.0G
std::string human_bytes(std::int64_t bytes);  ///< 950B, 1.2G; powers of 1024
std::string human_duration(double seconds);   ///< 42s, 5m07s, 2h13m, 3d04h; "?" when not known

/// Writes to a stream that outlives it. Not thread-safe: rank 0 owns it.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(std::FILE* stream);
  ProgressPrinter(std::FILE* stream, LineStyle style);
  ~ProgressPrinter();  ///< ends the live line
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;

  bool live() const { return style_.live; }
  void update(const Progress& progress);
  /// A line that stays, above the live one.
  void note(std::string_view line);

 private:
  void clear();
  std::FILE* stream_;
  LineStyle style_;
  std::string shown_;  // the live line on the screen now
};

}  // namespace mixspan
