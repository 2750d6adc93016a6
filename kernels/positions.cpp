#include "kernels/positions.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/cuda/positions.h"

namespace mixspan {

void fill_positions(const Exec& exec, View positions, std::int64_t first) {
  check(positions.shape().rank() == 2, "positions: wanted (B, T), got {}", positions.shape().str());
  check_dtype("positions", positions, DType::i32);
  check_contiguous("positions", positions);
  const std::int64_t B = positions.dim(0), T = positions.dim(1);
  check(first >= 0 && first + T <= std::numeric_limits<std::int32_t>::max(),
        "positions {} to {} do not fit an i32", first, first + T);
  if (exec.device.is_cuda()) return cuda::fill_positions(exec, positions, first);
  for (std::int64_t b = 0; b < B; ++b) {
    std::int32_t* row = positions.data<std::int32_t>() + b * T;
    std::iota(row, row + T, static_cast<std::int32_t>(first));
  }
}

void mark_ring_rows(const Exec& exec, View marks, std::int64_t begin, std::int64_t end) {
  const std::int64_t S = marks.size();
  check_shape("marks of a ring", marks, {S});
  check_dtype("marks of a ring", marks, DType::u8);
  check(S > 0 && 0 <= begin && begin <= end, "positions [{}, {}) of a ring of {} rows", begin, end,
        S);
  if (exec.device.is_cuda()) return cuda::mark_ring_rows(exec, marks, begin, end);
  std::uint8_t* mark = marks.data<std::uint8_t>();
  std::fill_n(mark, S, std::uint8_t{0});
  for (std::int64_t p = std::max(begin, end - S); p < end; ++p) mark[p % S] = 1;
}

}  // namespace mixspan
