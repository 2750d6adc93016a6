// Positions of rows, where it is the program and not the data that knows them.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/tensor.h"

namespace mixspan {

/// positions: (B, T) i32, contiguous. positions[b, t] = first + t. Overwrites.
void fill_positions(const Exec&, View positions, std::int64_t first);

/// marks: (S) u8, for a ring of S rows in which position p has row p % S. Overwrites: 1 where a
/// position of [begin, end) has its row, 0 elsewhere. 0 <= begin <= end.
void mark_ring_rows(const Exec&, View marks, std::int64_t begin, std::int64_t end);

}  // namespace mixspan
