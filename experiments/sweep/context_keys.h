// Which keys say no more than how long the sequences are: a line over contexts passes them over.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mixspan {

/// What one run has for the key that is asked about.
struct ValueAtContext {
  std::int64_t context = 0;  ///< tokens
  std::string value;
};

/// Whether `key` is the context itself, or is how the tokens of a step are divided into sequences
/// and has one value at each context of `runs`.
bool follows_from_context(std::string_view key, std::span<const ValueAtContext> runs);

}  // namespace mixspan
