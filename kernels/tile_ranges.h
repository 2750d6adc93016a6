// Which tiles of the (query, key) plane a span needs. Everything follows from lo(): query i reads
// keys [lo(i), i], lo(i) <= i, and lo never falls. A Span is any type with lo(i).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace mixspan {

/// The whole numbers begin .. end-1.
struct Range {
  std::int64_t begin = 0, end = 0;

  constexpr bool empty() const { return begin >= end; }
  constexpr std::int64_t size() const { return empty() ? 0 : end - begin; }
  friend bool operator==(Range, Range) = default;
};

constexpr Range intersection(Range a, Range b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

/// Ranges that touch become one; empty ones go. `ranges`: by rising position.
inline std::vector<Range> joined(const std::vector<Range>& ranges) {
  std::vector<Range> all;
  for (const Range& r : ranges) {
    if (r.empty()) continue;
    if (!all.empty() && all.back().end == r.begin) {
      all.back().end = r.end;
    } else {
      all.push_back(r);
    }
  }
  return all;
}

/// The tiles of `tile` numbers each that hold at least one number of `range`.
constexpr Range tiles_of(Range range, std::int64_t tile) {
  if (range.empty()) return {0, 0};
  return {range.begin / tile, (range.end - 1) / tile + 1};
}

/// The tiles of `tile` numbers each all of whose numbers are in `range`.
constexpr Range tiles_within(Range range, std::int64_t tile) {
  if (range.empty()) return {0, 0};
  const Range whole = {(range.begin + tile - 1) / tile, range.end / tile};
  return whole.empty() ? Range{0, 0} : whole;
}

/// The keys that at least one of `queries` (positions, not empty) reads. There are no gaps: the
/// reach of query i + 1 begins at i + 1 or before.
template <class Span>
constexpr Range visible_keys(const Span& span, Range queries) {
  return {span.lo(queries.begin), queries.end};
}

/// Those of `queries` that read at least one of `keys` (not empty); no gaps either.
template <class Span>
constexpr Range visible_queries(const Span& span, Range keys, Range queries) {
  const std::int64_t begin = std::clamp(keys.begin, queries.begin, queries.end);
  std::int64_t first = begin, last = queries.end;
  while (first < last) {  // the first query whose lo lies past the keys
    const std::int64_t middle = first + (last - first) / 2;
    if (span.lo(middle) < keys.end) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return {begin, first};
}

/// The keys that each of `queries` (not empty) reads.
template <class Span>
constexpr Range common_keys(const Span& span, Range queries) {
  return {span.lo(queries.end - 1), queries.begin + 1};
}

/// Those of `queries` that read each of `keys` (not empty).
template <class Span>
constexpr Range common_queries(const Span& span, Range keys, Range queries) {
  return {std::max(keys.end - 1, queries.begin),
          visible_queries(span, {keys.begin, keys.begin + 1}, queries).end};
}

/// True when each of `queries` reads each of `keys`: such a tile needs no mask.
template <class Span>
constexpr bool all_visible(const Span& span, Range queries, Range keys) {
  return span.lo(queries.end - 1) <= keys.begin && keys.end - 1 <= queries.begin;
}

}  // namespace mixspan
