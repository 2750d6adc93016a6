#include "kernels/attention_plan.h"

#include <cstring>

namespace mixspan::attention {

Sizes::Sizes(const ConstView& q, const ConstView& k, int multiple)
    : B(q.dim(0)),
      Tq(q.dim(1)),
      Tk(k.dim(1)),
      N(q.dim(2)),
      K(k.dim(2)),
      H(q.dim(3)),
      group(N / K),
      padded((H + multiple - 1) / multiple * multiple),
      offset(Tk - Tq) {}

Reaches::Reaches(Arena& scratch, const AttentionRule& rule, std::int64_t B, std::int64_t Tk) {
  const bool documents = !rule.document_start.empty();
  const std::int64_t sequences = documents ? B : 1;
  std::int32_t* table =
      scratch.allocate("attention reach", {sequences, Tk}, DType::i32).data<std::int32_t>();
  first_keys_ = table;
  stride_ = documents ? Tk : 0;
  rule.span.visit([&](const auto& span) {
    for (std::int64_t i = 0; i < Tk; ++i) table[i] = static_cast<std::int32_t>(span.lo(i));
  });
  if (!documents) return;
  const ConstView& start = rule.document_start;
  for (std::int64_t b = B - 1; b >= 0; --b) {  // row 0 holds the span until it is overwritten last
    const std::int32_t* row = start.data<std::int32_t>() + b * start.stride(0);
    for (std::int64_t i = 0; i < Tk; ++i) {
      const bool rises = i == 0 || row[i - 1] <= row[i];
      check(rises && row[i] <= i,
            "attention: document_start[{}, {}] is {}; wanted never falling and never "
            "past the row itself",
            b, i, row[i]);
      table[b * Tk + i] = std::max(table[i], row[i]);
    }
  }
}

void find_edges(RowEdges& edges, Reach reach, Range queries, Range keys) {
  edges.interior = keys.size() == kTileKeys && all_visible(reach, queries, keys);
  if (edges.interior) {
    std::fill_n(edges.begin, kTileRows, 0);
    std::fill_n(edges.end, kTileRows, kTileKeys);
    return;
  }
  for (std::int64_t row = 0; row < queries.size(); ++row) {
    const std::int64_t i = queries.begin + row;
    const Range seen = intersection({reach.lo(i), i + 1}, keys);
    edges.begin[row] = static_cast<int>(std::clamp(seen.begin, keys.begin, keys.end) - keys.begin);
    edges.end[row] = static_cast<int>(std::clamp(seen.end, keys.begin, keys.end) - keys.begin);
  }
}

Ahead::Ahead(std::int64_t tiles, std::int64_t calls_per_tile) : steps_(tiles * calls_per_tile) {}

void Ahead::add(Rows rows, std::int64_t count, std::int64_t floats) {
  wanted_[wanted_count_++] = {rows, count, floats};
  rows_ += count;
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

Rows gather_rows(Rows rows, std::int64_t count, const Sizes& sizes, float* copy) {
  const auto bytes = static_cast<std::size_t>(sizes.H) * sizeof(float);
  for (std::int64_t r = 0; r < count; ++r) {
    float* to = copy + r * sizes.padded;
    std::memcpy(to, rows.from(r).data, bytes);
    std::fill(to + sizes.H, to + sizes.padded, 0.0f);
  }
  return {copy, sizes.padded};
}

void store_rows(const View& x, std::int64_t b, std::int64_t head, Range rows, const float* from,
                const Sizes& sizes) {
  float* to = x.data<float>() + b * x.stride(0) + rows.begin * x.stride(1) + head * x.stride(2);
  for (std::int64_t r = 0; r < rows.size(); ++r) {
    std::memcpy(to + r * x.stride(1), from + r * sizes.padded,
                static_cast<std::size_t>(sizes.H) * sizeof(float));
  }
}

}  // namespace mixspan::attention
