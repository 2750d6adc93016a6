#include "experiments/run/schedule.h"

#include <cmath>
#include <numbers>

#include "core/error.h"

namespace mixspan {

ScheduleKind schedule_kind(std::string_view name) {
  for (ScheduleKind kind : {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::constant}) {
    if (name == name_of(kind)) return kind;
  }
  refuse("schedule '{}' is not known; there are cosine, linear and constant", name);
}

std::string_view name_of(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::linear:
      return "linear";
    case ScheduleKind::constant:
      return "constant";
  }
  return "?";
}

void check_schedule(const ScheduleConfig& config) {
  require(std::isfinite(config.peak_lr) && config.peak_lr > 0,
          "learning rate {}: wanted a positive number", config.peak_lr);
  require(config.warmup_steps >= 0 && config.warmup_steps <= config.steps,
          "{} warm-up steps: wanted 0 to {}, the steps of the run", config.warmup_steps,
          config.steps);
  require(config.final_fraction >= 0 && config.final_fraction <= 1,
          "final fraction {} of the learning rate: wanted 0 to 1", config.final_fraction);
}

double lr_at(const ScheduleConfig& config, std::int64_t step) {
  check(step >= 1, "learning rate of step {}: steps count from 1", step);
  if (step <= config.warmup_steps) {
    return config.peak_lr * static_cast<double>(step) / static_cast<double>(config.warmup_steps);
  }
  if (config.kind == ScheduleKind::constant) return config.peak_lr;
  const auto decay_steps = static_cast<double>(config.steps - config.warmup_steps);
  const double p =
      step >= config.steps ? 1.0 : static_cast<double>(step - config.warmup_steps) / decay_steps;
  const double f = config.final_fraction;
  if (config.kind == ScheduleKind::linear) return config.peak_lr * (1.0 - (1.0 - f) * p);
  return config.peak_lr * (f + (1.0 - f) * 0.5 * (1.0 + std::cos(std::numbers::pi * p)));
}

}  // namespace mixspan
