// Where numbers lie on an axis, and which of them are written there.
#pragma once

#include <string>
#include <vector>

#include "experiments/report/chart.h"

namespace mixspan {

/// Maps [low, high] of an axis to [begin, end] of the figure.
class AxisScale {
 public:
  /// `values`: what the axis must hold. About `wanted` ticks where the axis leaves the choice.
  AxisScale(const ChartAxis& axis, const std::vector<double>& values, int wanted);

  void place(double begin, double end) {
    begin_ = begin;
    end_ = end;
  }
  /// NaN for what a logarithmic axis has no place for.
  double at(double value) const;
  double low() const { return low_; }
  double high() const { return high_; }
  const std::vector<double>& ticks() const { return ticks_; }
  std::string text(double tick) const;

 private:
  void choose_linear_ticks(int wanted);
  void choose_logarithmic_ticks(int wanted);

  bool logarithmic_;
  Numbers numbers_;
  double low_ = 0, high_ = 1, begin_ = 0, end_ = 1;
  double step_ = 0;  // between chosen ticks; 0: of no use for their digits
  std::vector<double> ticks_;
};

/// A number as people read it: 0.25, 950, 48.2k, 1.3M.
std::string short_number(double value);

}  // namespace mixspan
