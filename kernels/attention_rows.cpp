#include "kernels/attention_rows.h"

namespace mixspan::attention {

Ahead::Ahead(std::int64_t tiles, std::int64_t calls_per_tile) : steps_(tiles * calls_per_tile) {}

void Ahead::add(Rows rows, std::int64_t count, std::int64_t floats) {
  wanted_[wanted_count_++] = {rows, count, floats};
  rows_ += count;
}

void Ahead::add(const Output& rows, std::int64_t count, std::int64_t floats) {
  if (!rows.streamed) add(Rows{rows.data, rows.stride}, count, floats);
}

void Ahead::step() {
  constexpr std::int64_t kLine = 16;  // floats
  for (std::int64_t left = (rows_ + steps_ - 1) / steps_; left > 0 && next_ < wanted_count_;) {
    const Wanted& wanted = wanted_[next_];
    if (row_ >= wanted.count) {
      ++next_;
      row_ = 0;
      continue;
    }
    const float* row = wanted.rows.from(row_++).data;
    for (std::int64_t i = 0; i < wanted.floats; i += kLine) __builtin_prefetch(row + i, 0, 2);
    --left;
  }
}

}  // namespace mixspan::attention
