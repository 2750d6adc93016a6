// Indices into a vocabulary or a table, and what happens to one that lies outside it.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/tensor.h"

namespace mixspan {

/// What an index may be besides an index.
enum class IgnoredIndex { none, is_allowed };

/// Throws Error, naming the first row that is wrong, unless every element of `indices` (rows) i32,
/// in host memory, lies in [0, limit) or is a kIgnoreTarget that is allowed.
///
/// Operations on a CPU look themselves. On a device they do not stop for it: there the row of such
/// an index becomes NaNs (what embedding_forward looks up; the loss and its gradient), which no
/// later operation loses, so the loss of the step is a NaN and the trainer stops before a weight
/// moves, as it does for any other number that is not finite. A flag that the host would have to
/// fetch says no more, and would be one more thing to carry along. Who uploads tokens and targets
/// calls this first, while they are on the host, and has the message that names the row.
void check_indices(std::string_view name, const ConstView& indices, std::int64_t rows,
                   std::int64_t limit, IgnoredIndex ignored = IgnoredIndex::none);

}  // namespace mixspan
