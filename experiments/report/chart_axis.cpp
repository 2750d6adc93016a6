#include "experiments/report/chart_axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/run/progress.h"

namespace mixspan {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Without digits that say nothing: 1.50 -> 1.5, 2.0 -> 2.
std::string trimmed(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

/// B, KB, MB, ... as human_bytes() would count so many.
double byte_unit(double bytes) {
  double unit = 1;
  while (bytes / unit >= 1024) unit *= 1024;
  return unit;
}

/// Decimals that tell multiples of `step` from each other.
int digits_of(double step) {
  return std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
}

}  // namespace

std::string short_number(double value) {
  if (!std::isfinite(value)) return "–";
  const double size = std::abs(value);
  if (size >= 1e4 && size < 1e15) {
    const int power = size >= 1e12 ? 4 : size >= 1e9 ? 3 : size >= 1e6 ? 2 : 1;
    const double scaled = value / std::pow(1000.0, power);
    const char* unit = power == 4 ? "T" : power == 3 ? "G" : power == 2 ? "M" : "k";
    return trimmed(fmt::format("{:.{}f}", scaled, std::abs(scaled) < 100 ? 1 : 0)) + unit;
  }
  if (size != 0 && (size < 1e-3 || size >= 1e15)) return fmt::format("{:.1e}", value);
  return trimmed(fmt::format("{:.{}f}", value,
                             size < 0.1   ? 4
                             : size < 10  ? 3
                             : size < 100 ? 1
                                          : 0));
}

AxisScale::AxisScale(const ChartAxis& axis, const std::vector<double>& values, int wanted)
    : logarithmic_(axis.logarithmic), numbers_(axis.numbers) {
  double low = kNone, high = kNone;
  for (const double v : values) {
    if (!std::isfinite(v) || (logarithmic_ && v <= 0)) continue;
    low = std::fmin(low, v);
    high = std::fmax(high, v);
  }
  if (std::isnan(low)) low = high = logarithmic_ ? 1 : 0;
  if (low == high) {
    const double around = logarithmic_ ? 0.5 * low : std::max(std::abs(low) * 0.1, 0.5);
    low -= around;
    high += around;
  }
  const double pad = logarithmic_ ? std::pow(high / low, 0.05) : 0.05 * (high - low);
  low_ = !std::isnan(axis.low) ? axis.low : logarithmic_ ? low / pad : low - pad;
  high_ = !std::isnan(axis.high) ? axis.high : logarithmic_ ? high * pad : high + pad;
  if (!(high_ > low_)) high_ = logarithmic_ ? 2 * low_ : low_ + 1;
  for (const double t : axis.ticks) {
    if (t >= low_ && t <= high_) ticks_.push_back(t);
  }
  if (!logarithmic_) {
    if (axis.ticks.empty()) choose_linear_ticks(wanted);
    return;
  }
  // Fewer than two numbers give a logarithmic axis no scale: then finer ones are taken.
  if (ticks_.size() < 2 && numbers_ != Numbers::bytes) {
    ticks_.clear();
    choose_logarithmic_ticks(wanted);
  }
  if (ticks_.size() < 2) {
    ticks_.clear();
    choose_linear_ticks(wanted);
  }
}

void AxisScale::choose_linear_ticks(int wanted) {
  const double unit = numbers_ == Numbers::bytes ? byte_unit(high_) : 1;
  const double rough = (high_ - low_) / unit / wanted;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  step_ = 10 * power;
  for (const double nice : {5.0, 2.0, 1.0}) {
    if (nice * power >= rough) step_ = nice * power;
  }
  step_ *= unit;
  const auto first = static_cast<std::int64_t>(std::ceil(low_ / step_ - 1e-9));
  const auto last = static_cast<std::int64_t>(std::floor(high_ / step_ + 1e-9));
  for (std::int64_t i = first; i <= last; ++i) ticks_.push_back(static_cast<double>(i) * step_);
}

void AxisScale::choose_logarithmic_ticks(int wanted) {
  const int first = static_cast<int>(std::floor(std::log10(low_)));
  const int last = static_cast<int>(std::ceil(std::log10(high_)));
  const bool within = last - first <= 3;
  const int every = std::max(1, (last - first + wanted - 1) / wanted);
  for (int e = first; e <= last; e += every) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double tick = digit * std::pow(10, e);
      if ((digit == 1 || within) && tick >= low_ && tick <= high_) ticks_.push_back(tick);
    }
  }
}

double AxisScale::at(double value) const {
  if (!logarithmic_) return begin_ + (end_ - begin_) * (value - low_) / (high_ - low_);
  if (!(value > 0)) return kNone;
  return begin_ + (end_ - begin_) * std::log(value / low_) / std::log(high_ / low_);
}

std::string AxisScale::text(double tick) const {
  switch (numbers_) {
    case Numbers::bytes:
      if (step_ > 0 && digits_of(step_ / byte_unit(tick)) > 1) {  // more than it writes
        const std::string text = human_bytes(static_cast<std::int64_t>(byte_unit(tick)));
        return fmt::format("{:.{}f}{}", tick / byte_unit(tick), digits_of(step_ / byte_unit(tick)),
                           text.substr(text.find_first_not_of("0123456789.")));
      }
      return human_bytes(std::llround(tick));
    case Numbers::percent:
      return short_number(100 * tick) + " %";
    case Numbers::counts:
      return short_number(tick);
    case Numbers::plain:
      break;
  }
  if (step_ == 0 || std::abs(tick) >= 1e4) return short_number(tick);
  return fmt::format("{:.{}f}", tick == 0 ? 0.0 : tick, digits_of(step_));
}

}  // namespace mixspan
