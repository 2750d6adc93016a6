#include "data/bpe_merger.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr std::int32_t kNoRank = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kShort = 48;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

BpeMerger::BpeMerger(const BpeModel& model)
    : byte_ids_(model.byte_ids), byte_pair_ranks_(256 * 256, kNoRank) {
  ranks_.reserve(model.merges.size());
  for (const BpeMerge& m : model.merges) {
    ranks_.emplace(pair_key(m.left, m.right), static_cast<std::int32_t>(results_.size()));
    results_.push_back(m.result);
  }
  for (std::size_t a = 0; a < 256; ++a) {
    for (std::size_t b = 0; b < 256; ++b) {
      byte_pair_ranks_[a * 256 + b] = rank(byte_ids_[a], byte_ids_[b]);
    }
  }
}

std::int32_t BpeMerger::rank(std::int32_t left, std::int32_t right) const {
  const auto found = ranks_.find(pair_key(left, right));
  return found == ranks_.end() ? kNoRank : found->second;
}

void BpeMerger::merge(std::string_view word, std::vector<std::int32_t>& out) const {
  if (word.size() <= kShort) {
    merge_short(word, out);
  } else {
    merge_long(word, out);
  }
}

void BpeMerger::merge_short(std::string_view word, std::vector<std::int32_t>& out) const {
  std::array<std::int32_t, kShort> ids;
  std::array<std::int32_t, kShort> ranks;  // of the pair that starts here
  std::size_t count = word.size();
  for (std::size_t i = 0; i < count; ++i) {
    const auto byte = static_cast<std::uint8_t>(word[i]);
    ids[i] = byte_ids_[byte];
    if (i + 1 < count) {
      ranks[i] = byte_pair_ranks_[byte * 256u + static_cast<std::uint8_t>(word[i + 1])];
    }
  }
  while (count > 1) {
    const auto* const best = std::min_element(ranks.begin(), ranks.begin() + count - 1);
    if (*best == kNoRank) break;
    const auto at = static_cast<std::size_t>(best - ranks.begin());
    ids[at] = results_[static_cast<std::size_t>(*best)];
    --count;
    for (std::size_t i = at + 1; i < count; ++i) {
      ids[i] = ids[i + 1];
      ranks[i - 1] = ranks[i];
    }
    if (at + 1 < count) ranks[at] = rank(ids[at], ids[at + 1]);
    if (at > 0) ranks[at - 1] = rank(ids[at - 1], ids[at]);
  }
  out.insert(out.end(), ids.begin(), ids.begin() + count);
}

void BpeMerger::merge_long(std::string_view word, std::vector<std::int32_t>& out) const {
  require(word.size() < std::numeric_limits<std::int32_t>::max(),
          "a word of {} bytes without a break; text must have one every 2 GiB", word.size());
  const auto n = static_cast<std::int32_t>(word.size());
  struct Symbol {
    std::int32_t id, previous, next;  // id -1: merged into its left neighbour; next n: the end
  };
  std::vector<Symbol> symbols(word.size());
  // The queue's entries are (rank, start of the pair); one is stale when the pair there has another
  // rank by now.
  std::vector<std::uint64_t> initial;
  initial.reserve(word.size());
  const auto entry = [](std::int32_t pair_rank, std::int32_t at) {
    return std::uint64_t{static_cast<std::uint32_t>(pair_rank)} << 32 |
           static_cast<std::uint32_t>(at);
  };
  for (std::int32_t i = 0; i < n; ++i) {
    const auto byte = static_cast<std::uint8_t>(word[static_cast<std::size_t>(i)]);
    symbols[static_cast<std::size_t>(i)] = {byte_ids_[byte], i - 1, i + 1};
    if (i + 1 == n) break;
    const auto next = static_cast<std::uint8_t>(word[static_cast<std::size_t>(i) + 1]);
    const std::int32_t pair_rank = byte_pair_ranks_[byte * 256u + next];
    if (pair_rank != kNoRank) initial.push_back(entry(pair_rank, i));
  }
  std::priority_queue queue(std::greater<>(), std::move(initial));
  const auto at = [&](std::int32_t i) -> Symbol& { return symbols[static_cast<std::size_t>(i)]; };
  const auto pair_rank_at = [&](std::int32_t i) {
    return at(i).id < 0 || at(i).next == n ? kNoRank : rank(at(i).id, at(at(i).next).id);
  };
  const auto push = [&](std::int32_t i) {
    const std::int32_t r = pair_rank_at(i);
    if (r != kNoRank) queue.push(entry(r, i));
  };
  while (!queue.empty()) {
    const std::uint64_t top = queue.top();
    queue.pop();
    const auto i = static_cast<std::int32_t>(top & 0xffffffff);
    const auto r = static_cast<std::int32_t>(top >> 32);
    if (pair_rank_at(i) != r) continue;
    Symbol& right = at(at(i).next);
    at(i).id = results_[static_cast<std::size_t>(r)];
    at(i).next = right.next;
    right.id = -1;
    if (at(i).next != n) at(at(i).next).previous = i;
    push(i);
    if (at(i).previous >= 0) push(at(i).previous);
  }
  for (std::int32_t i = 0; i != n; i = at(i).next) out.push_back(at(i).id);
}

}  // namespace mixspan
