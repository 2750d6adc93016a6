// Writes text with a model: prompt in at once, then token by token with key/value caches as short
// as each layer's span.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/exec.h"
#include "experiments/run/sampler.h"
#include "layers/model.h"

namespace mixspan {

struct GenerateOptions {
  std::int64_t max_tokens = 200;
  std::int64_t vocab = 0;         ///< only tokens below it are drawn; 0: all the model has
  std::int32_t end_of_text = -1;  ///< generation ends before this token; -1: never
  SamplerOptions sampler = {};
};

/// Calls on_token for every new token as it is chosen. Throws InputError when the prompt is empty,
/// holds a token the model does not know, or leaves no room for max_tokens in the model's context.
/// Returns the new tokens.
std::vector<std::int32_t> generate(const Exec&, const Model&, std::span<const std::int32_t> prompt,
                                   const GenerateOptions&,
                                   const std::function<void(std::int32_t)>& on_token);

}  // namespace mixspan
