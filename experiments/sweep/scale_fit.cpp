#include "experiments/sweep/scale_fit.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "core/error.h"

namespace mixspan {

namespace {

double log_context(const ScalePoint& p) {
  return std::log(static_cast<double>(p.run.config.model.context));
}

double seconds_per_sequence(const ScalePoint& p) {
  return p.measured->step_ms * 1e-3 / static_cast<double>(p.run.config.batch_rows());
}

void add_fit(const std::vector<const ScalePoint*>& points, const char* quantity,
             const std::function<double(const ScalePoint&)>& of, std::vector<GrowthFit>& fits) {
  std::vector<double> x, y;
  std::set<double> lengths;
  for (const ScalePoint* p : points) {
    x.push_back(log_context(*p));
    y.push_back(std::log(of(*p)));
    lengths.insert(x.back());
  }
  if (lengths.size() < 2) return;
  fits.push_back({points.front()->variant, quantity, fit_line(x, y).slope});
}

}  // namespace

std::vector<GrowthFit> fit_growth(const std::vector<ScalePoint>& points) {
  std::vector<std::string> variants;
  for (const ScalePoint& p : points) {
    if (std::find(variants.begin(), variants.end(), p.variant) == variants.end()) {
      variants.push_back(p.variant);
    }
  }
  std::vector<GrowthFit> fits;
  for (const std::string& variant : variants) {
    std::vector<const ScalePoint*> measured;
    for (const ScalePoint& p : points) {
      if (p.variant == variant && p.measured) measured.push_back(&p);
    }
    if (measured.empty()) continue;
    add_fit(measured, "seconds per sequence", seconds_per_sequence, fits);
    add_fit(
        measured, "memory bytes",
        [](const ScalePoint& p) { return static_cast<double>(p.measured->memory_bytes); }, fits);
  }
  return fits;
}

namespace {

// What a process holds at `planned` bytes of a rank; with one plan alone, as much more as there.
double memory_at(double planned, const std::vector<const ScalePoint*>& known) {
  std::vector<double> x, y;
  for (const ScalePoint* p : known) {
    x.push_back(static_cast<double>(p->plan.memory_bytes));
    y.push_back(static_cast<double>(p->measured->memory_bytes));
  }
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  if (*low == *high) return mean_estimate(y).value + planned - *low;
  const Line line = fit_line(x, y);
  return line.intercept.value + line.slope.value * planned;
}

}  // namespace

Extrapolation extrapolate(const ScalePoint& point, const std::vector<ScalePoint>& points) {
  std::vector<const ScalePoint*> same, all;
  for (const ScalePoint& p : points) {
    if (!p.measured) continue;
    all.push_back(&p);
    if (p.variant == point.variant) same.push_back(&p);
  }
  check(!all.empty(), "scale: nothing measured to extrapolate from");
  const std::vector<const ScalePoint*>& known = same.empty() ? all : same;
  std::vector<double> ratios;
  for (const ScalePoint* p : known) {
    ratios.push_back(std::log(p->measured->step_ms / p->plan.step_ms));
  }
  Estimate e = mean_estimate(ratios);
  // From the interval of the mean to that of one more value: sd sqrt(1 + 1/n) for sd / sqrt(n).
  const double wider = std::sqrt(static_cast<double>(ratios.size()) + 1);
  e.low = point.plan.step_ms * std::exp(e.value + wider * (e.low - e.value));
  e.high = point.plan.step_ms * std::exp(e.value + wider * (e.high - e.value));
  e.value = point.plan.step_ms * std::exp(e.value);
  return {e, memory_at(static_cast<double>(point.plan.memory_bytes), known), !same.empty()};
}

}  // namespace mixspan
