// How n things are dealt out to ranks: in order, as evenly as possible.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tile_ranges.h"

namespace mixspan {

/// The part of [0, n) that belongs to `index` of `parts`.
constexpr Range share(std::int64_t n, std::int64_t parts, std::int64_t index) {
  return {n * index / parts, n * (index + 1) / parts};
}

/// All parts, in order.
inline std::vector<Range> shares(std::int64_t n, std::int64_t parts) {
  std::vector<Range> all;
  for (std::int64_t i = 0; i < parts; ++i) all.push_back(share(n, parts, i));
  return all;
}

}  // namespace mixspan
