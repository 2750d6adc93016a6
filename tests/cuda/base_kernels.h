// Small kernels that the tests of launches, packs and reductions run.
#pragma once

#include "core/exec.h"

namespace mixspan::test {

/// out (rows) f32 = sums of the rows of in (rows, C), f32 or bf16: one block a row, 16-byte loads,
/// C a multiple of 8.
void row_sums(const Exec& ex, View out, ConstView in);
/// out (rows) = the largest of each row of in (rows, C), both f32.
void row_maxima(const Exec& ex, View out, ConstView in);
/// to = from rounded to the dtype of `to`; f32 or bf16 each, sizes multiples of 8.
void convert(const Exec& ex, View to, ConstView from);
/// out (n) i32 = n-1-i, by way of `bytes` of dynamic shared memory, at least 4n.
void reverse_in_shared(const Exec& ex, View out, std::size_t bytes);
/// Launches a kernel with a block of 2048 threads, which no device takes.
void launch_too_many_threads(const Exec& ex);

}  // namespace mixspan::test
