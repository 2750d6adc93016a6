// Chooses the next token from logits.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace mixspan {

struct SamplerOptions {
  double temperature = 1.0;  ///< 0: always the likeliest token
  std::int64_t top_k = 0;    ///< only the k likeliest; 0: all
  /// Only the smallest set of likeliest tokens whose probabilities reach this sum (Holtzman et al.
  /// 2020, arXiv:1904.09751); 1: all.
  double top_p = 1.0;
  std::uint64_t seed = 1;
};

/// Throws InputError, naming the flag, when an option is out of range.
void validate(const SamplerOptions&);

/// logits: (V) f32. The draw is a pure function of (seed, index): the same text on every machine
/// that gets the same logits. Of equal logits the smaller id wins. Throws Error on a NaN.
std::int32_t sample(ConstView logits, const SamplerOptions&, std::uint64_t index);

}  // namespace mixspan
