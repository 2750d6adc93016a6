#include "parallel/sequence_layout.h"

#include <algorithm>

#include "core/error.h"
#include "parallel/shares.h"

namespace mixspan {

LayoutKind parse_layout(std::string_view text) {
  if (text == "contiguous") return LayoutKind::contiguous;
  require(text == "zigzag", "\"{}\" is no layout; wanted \"contiguous\" or \"zigzag\"", text);
  return LayoutKind::zigzag;
}

std::string str(LayoutKind kind) { return kind == LayoutKind::zigzag ? "zigzag" : "contiguous"; }

SequenceLayout::SequenceLayout(LayoutKind kind, std::int64_t T, int ranks) : kind_(kind), T_(T) {
  const std::int64_t pieces = kind == LayoutKind::zigzag && ranks > 1 ? 2 * ranks : ranks;
  require(ranks >= 1 && T >= pieces, "{} tokens over {} ranks ({}): wanted at least {} tokens", T,
          ranks, str(kind), pieces);
  for (int rank = 0; rank < ranks; ++rank) {
    std::vector<Range>& mine = chunks_.emplace_back();
    mine.push_back(share(T, pieces, rank));
    if (pieces == ranks) continue;
    const Range back = share(T, pieces, pieces - 1 - rank);
    if (back.begin == mine.back().end) {
      mine.back().end = back.end;
    } else {
      mine.push_back(back);
    }
  }
}

std::int64_t SequenceLayout::rows(int rank) const {
  std::int64_t n = 0;
  for (const Range& chunk : chunks(rank)) n += chunk.size();
  return n;
}

std::int64_t SequenceLayout::most_rows() const {
  std::int64_t most = 0;
  for (int rank = 0; rank < ranks(); ++rank) most = std::max(most, rows(rank));
  return most;
}

std::int64_t SequenceLayout::position(int rank, std::int64_t row) const {
  for (const Range& chunk : chunks(rank)) {
    if (row < chunk.size()) return chunk.begin + row;
    row -= chunk.size();
  }
  fail("row {} lies past the rows of rank {}", row, rank);
}

}  // namespace mixspan
