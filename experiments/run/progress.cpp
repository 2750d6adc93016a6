#include "experiments/run/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <vector>

namespace mixspan {

namespace {

// The value in three digits or so before the unit: 999, 1.0k, 48.2k, 999.9k, 1.0M.
std::string scaled(double value, double base, std::string_view units, std::string_view plain_unit) {
  if (!std::isfinite(value)) return "?";
  if (std::abs(value) < base - 0.5) return fmt::format("{:.0f}{}", value, plain_unit);
  std::size_t unit = 0;
  value /= base;
  // 0.05 off the base would print as 1000.0 of the smaller unit.
  while (std::abs(value) >= base - 0.05 && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  return fmt::format("{:.1f}{}", value, units[unit]);
}

struct Field {
  std::string name, value;
  int rank;  // the highest goes first where the width is too small; 0 never goes
  std::size_t width() const { return name.size() + 1 + value.size(); }
};

std::vector<Field> fields_of(const Progress& p) {
  std::vector<Field> fields;
  fields.push_back({"step", fmt::format("{}/{}", p.step, p.steps), 0});
  fields.push_back({"loss", fmt::format("{:.4f}", p.loss), 0});
  fields.push_back({"gnorm", fmt::format("{:.2f}", p.grad_norm), 4});
  fields.push_back({"lr", fmt::format("{:.1e}", p.lr), 5});
  fields.push_back({"tok/s", human_count(p.tokens_per_s), 2});
  if (p.mfu) fields.push_back({"mfu", fmt::format("{:.1f}%", 100.0 * *p.mfu), 3});
  fields.push_back({"mem", human_bytes(p.memory_bytes), 6});
  fields.push_back({"eta", human_duration(p.eta_s), 1});
  return fields;
}

void fit(std::vector<Field>& fields, int width) {
  if (width <= 0) return;
  const auto total = [&] {
    std::size_t sum = 0;
    for (const Field& f : fields) sum += f.width() + 2;
    return sum - 2;
  };
  while (total() > static_cast<std::size_t>(width)) {
    const auto least =
        std::max_element(fields.begin(), fields.end(),
                         [](const Field& a, const Field& b) { return a.rank < b.rank; });
    if (least->rank == 0) return;
    fields.erase(least);
  }
}

}  // namespace

std::string human_count(double value) { return scaled(value, 1000.0, "kMGTP", ""); }

std::string human_bytes(std::int64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024.0, "KMGTP", "B");
}

std::string human_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  const auto s = static_cast<std::int64_t>(std::llround(seconds));
  const std::int64_t minutes = s / 60, hours = minutes / 60, days = hours / 24;
  if (minutes == 0) return fmt::format("{}s", s);
  if (hours == 0) return fmt::format("{}m{:02}s", minutes, s % 60);
  if (days == 0) return fmt::format("{}h{:02}m", hours, minutes % 60);
  return fmt::format("{}d{:02}h", days, hours % 24);
}

std::string progress_text(const Progress& progress, const LineStyle& style) {
  std::vector<Field> fields = fields_of(progress);
  fit(fields, style.width);
  std::string text;
  for (const Field& f : fields) {
    if (!text.empty()) text += "  ";
    if (!style.color) {
      text += f.name + " " + f.value;
    } else {
      const std::string_view on = f.name == "loss" ? "\x1b[1m" : "";
      text +=
          fmt::format("\x1b[2m{}\x1b[0m {}{}{}", f.name, on, f.value, on.empty() ? "" : "\x1b[0m");
    }
  }
  return text;
}

LineStyle LineStyle::of(std::FILE* stream) {
  LineStyle style;
  const int fd = ::fileno(stream);
  if (fd < 0 || ::isatty(fd) == 0) return style;
  style.live = true;
  const char* no_color = std::getenv("NO_COLOR");
  style.color = no_color == nullptr || *no_color == '\0';
  struct winsize size {};
  // One column is left free: a line that fills the last one wraps on some terminals.
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) style.width = size.ws_col - 1;
  return style;
}

ProgressPrinter::ProgressPrinter(std::FILE* stream)
    : ProgressPrinter(stream, LineStyle::of(stream)) {}
ProgressPrinter::ProgressPrinter(std::FILE* stream, LineStyle style)
    : stream_(stream), style_(style) {}

ProgressPrinter::~ProgressPrinter() {
  if (!shown_.empty()) std::fputc('\n', stream_);
  std::fflush(stream_);
}

void ProgressPrinter::update(const Progress& progress) {
  const std::string text = progress_text(progress, style_);
  if (!style_.live) {
    fmt::print(stream_, "{}\n", text);
  } else {
    clear();
    std::fputs(text.c_str(), stream_);
    shown_ = text;
  }
  std::fflush(stream_);
}

void ProgressPrinter::note(std::string_view line) {
  clear();
  fmt::print(stream_, "{}\n", line);
  std::fputs(shown_.c_str(), stream_);
  std::fflush(stream_);
}

void ProgressPrinter::clear() {
  if (!shown_.empty()) std::fputs("\r\x1b[K", stream_);
}

}  // namespace mixspan
