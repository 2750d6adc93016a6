#include "kernels/indices.h"

#include "core/targets.h"

namespace mixspan {

void check_indices(std::string_view name, const ConstView& indices, std::int64_t rows,
                   std::int64_t limit, IgnoredIndex ignored) {
  check_shape(name, indices, {rows});
  const std::int32_t* index = indices.data<std::int32_t>();
  for (std::int64_t r = 0; r < rows; ++r) {
    const bool skipped = ignored == IgnoredIndex::is_allowed && index[r] == kIgnoreTarget;
    check(skipped || (index[r] >= 0 && index[r] < limit), "{} {} of row {} is outside [0, {})",
          name, index[r], r, limit);
  }
}

}  // namespace mixspan
