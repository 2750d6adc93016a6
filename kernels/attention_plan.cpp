#include "kernels/attention_plan.h"

#include <cstring>

namespace mixspan::attention {

Sizes::Sizes(const ConstView& q, const ConstView& k, const AttentionRule& rule, int multiple)
    : B(q.dim(0)),
      Tq(q.dim(1)),
      Tk(k.dim(1)),
      N(q.dim(2)),
      K(k.dim(2)),
      H(q.dim(3)),
      group(N / K),
      padded((H + multiple - 1) / multiple * multiple),
      offset(rule.first_query - rule.first_key) {}

Range Reach::keys_of(std::int64_t tile) const {
  return {tile * kTileKeys, std::min((tile + 1) * kTileKeys, sizes.Tk)};
}

Range Reach::key_tiles(Range rows) const {
  return tiles_of(intersection(visible_keys(*this, positions(rows)), {0, sizes.Tk}), kTileKeys);
}

Range Reach::row_tiles(std::int64_t tile, Range rows) const {
  const Range seeing = intersection(rows_reading(tile), rows);
  return tiles_of({seeing.begin - rows.begin, seeing.end - rows.begin}, kTileRows);
}

Reaches::Reaches(Arena& scratch, const AttentionRule& rule, const Sizes& sizes)
    : sizes_(sizes), sequences_(rule.document_start.empty() ? 1 : sizes.B) {
  const auto table = [&](std::int64_t numbers) {
    return scratch.allocate("attention reach", {sequences_, numbers}, DType::i32)
        .data<std::int32_t>();
  };
  first_keys_ = table(sizes.Tq);
  readers_ = table(2 * sizes.key_tiles());
  find_first_keys(rule);
  find_readers();
}

void Reaches::find_first_keys(const AttentionRule& rule) {
  const std::int64_t Tq = sizes_.Tq;
  std::int32_t* const table = first_keys_;
  const auto key_row = [&](std::int64_t position) {
    return static_cast<std::int32_t>(
        std::clamp(position - rule.first_key, std::int64_t{0}, sizes_.Tk));
  };
  rule.span.visit([&](const auto& span) {
    for (std::int64_t r = 0; r < Tq; ++r) table[r] = key_row(span.lo(rule.first_query + r));
  });
  const ConstView& start = rule.document_start;
  if (start.empty()) return;
  for (std::int64_t b = sizes_.B - 1; b >= 0;
       --b) {  // row 0 holds the span until it is overwritten last
    const std::int32_t* row = start.data<std::int32_t>() + b * start.stride(0);
    for (std::int64_t r = 0; r < Tq; ++r) {
      const bool rises = r == 0 || row[r - 1] <= row[r];
      check(rises && row[r] <= rule.first_query + r,
            "attention: document_start[{}, {}] is {}; wanted never falling and never "
            "past the row itself, at position {}",
            b, r, row[r], rule.first_query + r);
      table[b * Tq + r] = std::max(table[r], key_row(row[r]));
    }
  }
}

void Reaches::find_readers() {
  const std::int64_t tiles = sizes_.key_tiles();
  for (std::int64_t b = 0; b < sequences_; ++b) {
    const Reach reach = of(b);
    const Range queries = reach.positions({0, sizes_.Tq});
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const Range seeing = visible_queries(reach, reach.keys_of(tile), queries);
      std::int32_t* const rows = readers_ + 2 * (b * tiles + tile);
      rows[0] = static_cast<std::int32_t>(seeing.begin - sizes_.offset);
      rows[1] = static_cast<std::int32_t>(seeing.end - sizes_.offset);
    }
  }
}

namespace {
constexpr RowEdges no_edges() {
  RowEdges edges{.interior = true};
  std::fill_n(edges.end, kTileRows, kTileKeys);
  return edges;
}
constexpr RowEdges kNoEdges = no_edges();
}  // namespace

const RowEdges& edges_of(Reach reach, Range rows, Range keys, RowEdges& memory) {
  const Range queries = reach.positions(rows);
  if (keys.size() == kTileKeys && all_visible(reach, queries, keys)) return kNoEdges;
  const std::int32_t* const first_keys = reach.first_key + rows.begin;
  const auto first = static_cast<int>(keys.begin), count = static_cast<int>(keys.size());
  const auto past_own = static_cast<int>(queries.begin + 1 - keys.begin);
  for (int row = 0; row < static_cast<int>(rows.size()); ++row) {
    memory.begin[row] = std::clamp(first_keys[row] - first, 0, count);
    memory.end[row] = std::clamp(past_own + row, 0, count);
  }
  return memory;
}

Ring ring_for(Reach reach, Range queries) {
  Ring ring{1, reach.sizes.group};
  const Range tiles = reach.key_tiles(queries);
  for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
    ring.places = std::max(ring.places, reach.row_tiles(tile, queries).size());
  }
  return ring;
}

void fetch_first(const Task& task, Reach reach, Range queries,
                 std::initializer_list<const ConstView*> by_key,
                 std::initializer_list<const ConstView*> by_query) {
  const Range tiles = reach.key_tiles(queries), rows = rows_of_tile(0, queries);
  if (tiles.empty()) return;
  const Range keys = reach.keys_of(tiles.begin);
  const std::int64_t H = reach.sizes.H, group = reach.sizes.group;
  Ahead ahead(1, 1);
  for (const ConstView* x : by_key) {
    ahead.add(rows_of(*x, task.b, task.head).from(keys.begin), keys.size(), H);
  }
  for (const ConstView* x : by_query) {
    ahead.add(rows_of(*x, task.b, task.head * group).from(rows.begin), rows.size(), H * group);
  }
  ahead.step();
}

Output output_of(const View& x, std::int64_t b, std::int64_t head, std::int64_t first_row) {
  constexpr std::int64_t kLine = 64 / sizeof(float);
  float* const data =
      x.data<float>() + b * x.stride(0) + first_row * x.stride(1) + head * x.stride(2);
  const bool lines = reinterpret_cast<std::uintptr_t>(data) % 64 == 0 && x.stride(1) % kLine == 0 &&
                     x.dim(3) % kLine == 0;
  return {data, x.stride(1), lines};
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

const float* right_operand(const TileKernels& kernels, Rows rows, std::int64_t count,
                           const Sizes& sizes, float* memory) {
  if (kernels.right == nullptr) return gather_rows(rows, count, sizes, memory).data;
  kernels.right(memory, rows, static_cast<int>(count), static_cast<int>(sizes.H),
                static_cast<int>(sizes.padded));
  return memory;
}

void clear_rows(const View& x) {
  const auto bytes = static_cast<std::size_t>(x.dim(3)) * sizeof(float);
  for (std::int64_t b = 0; b < x.dim(0); ++b) {
    for (std::int64_t t = 0; t < x.dim(1); ++t) {
      for (std::int64_t head = 0; head < x.dim(2); ++head) {
        std::memset(x.data<float>() + b * x.stride(0) + t * x.stride(1) + head * x.stride(2), 0,
                    bytes);
      }
    }
  }
}

}  // namespace mixspan::attention
