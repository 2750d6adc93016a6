// Tasks made of random numbers whose answer lies a chosen distance back, because they show in
// minutes what a span can and cannot do.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/loader.h"

namespace mixspan {

/// One number a task takes: "distance=96".
struct SyntheticParameter {
  std::string name;
  std::int64_t value;
};
struct SyntheticTask {
  std::string name;                            ///< "recall"
  std::vector<SyntheticParameter> parameters;  ///< all of them, defaults filled in
  std::string str() const;                     ///< "synthetic:recall:distance=64,pairs=4,values=8"
};

/// True for names that start with "synthetic:".
bool is_synthetic(std::string_view name);
/// Reads "synthetic:TASK" or "synthetic:TASK:key=value,..."; throws InputError that says what would
/// work.
SyntheticTask parse_synthetic(std::string_view text);

/// Rows of T tokens; T must hold the task. Targets are at answers only.
std::unique_ptr<SampleSource> open_synthetic(const SyntheticTask&, std::int64_t T,
                                             std::uint64_t seed);
/// Rows that no training seed draws. num_rows >= 1.
std::unique_ptr<EvaluationSource> open_synthetic_evaluation(const SyntheticTask&, std::int64_t T,
                                                            std::int64_t num_rows);

}  // namespace mixspan
