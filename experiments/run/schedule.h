// The learning rate as a function of the step: linear warm-up, then cosine, linear or no decay.
#pragma once

#include <cstdint>
#include <string_view>

namespace mixspan {

enum class ScheduleKind { cosine, linear, constant };

/// "cosine" | "linear" | "constant"; anything else is refused with the names that exist.
ScheduleKind schedule_kind(std::string_view name);
std::string_view name_of(ScheduleKind kind);

struct ScheduleConfig {
  ScheduleKind kind = ScheduleKind::cosine;
  double peak_lr = 0;             ///< reached by the last warm-up step
  std::int64_t steps = 0;         ///< N, of the whole run
  std::int64_t warmup_steps = 0;  ///< W
  double final_fraction = 0.1;    ///< f, the last step's rate over the peak; constant ignores it
};

/// Refuses what has no meaning: a peak that is not a positive number, W outside [0, N], f outside
/// [0, 1].
void check_schedule(const ScheduleConfig& config);

/// The rate of the update that completes step s, s = 1..N (step 0 is the model as it was made):
///   s <= W    peak * s / W                                  so no update has rate 0
///   s >  W    peak * decay(p), p = (s - W) / (N - W), and p = 1 from step N on
///   constant  decay(p) = 1
///   linear    decay(p) = 1 - (1 - f) p
///   cosine    decay(p) = f + (1 - f) (1 + cos(pi p)) / 2    (SGDR, arXiv 1608.03983, one cycle)
double lr_at(const ScheduleConfig& config, std::int64_t step);

}  // namespace mixspan
