// Rows in the order of a small key, for sums over the rows that share one.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan::cuda {

struct SortedRows {
  View keys;  ///< (n) i32, rising
  View rows;  ///< (n) i32: the row of each key; rows of one key rise
};

/// Sorts the rows 0 .. n - 1 by their key: indices[row] - begin where that is in [0, held), else
/// `held`, which is therefore the key of all others. Stable: the radix sort of Knuth, volume 3,
/// section 5.2.5. indices: (n) i32. The result lies in ex.scratch, in the caller's scope.
SortedRows sort_rows(const Exec&, ConstView indices, std::int64_t begin, std::int64_t held);

}  // namespace mixspan::cuda
