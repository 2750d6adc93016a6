// The mark of a row that has no target.
#pragma once

#include <cstdint>

namespace mixspan {

/// A row with this target has loss 0 and gradient 0 and does not count as a target.
inline constexpr std::int32_t kIgnoreTarget = -1;

}  // namespace mixspan
