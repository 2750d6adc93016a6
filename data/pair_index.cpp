#include "data/pair_index.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr std::int32_t kBorder = -1;
constexpr std::int32_t kInside = -2;

std::uint64_t key_of(std::int32_t left, std::int32_t right) {
  return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
}

SymbolPair pair_of(std::uint64_t key) {
  return {static_cast<std::int32_t>(key >> 32), static_cast<std::int32_t>(key & 0xffffffff)};
}

}  // namespace

PairIndex::PairIndex(const WordCounts& words, const std::array<std::int32_t, 256>& byte_ids)
    : symbol_bytes_(static_cast<std::size_t>(*std::ranges::max_element(byte_ids)) + 1, 1) {
  std::size_t places = 1;
  for (const auto& [word, count] : words) places += word.size() + 1;
  require(places < std::numeric_limits<Place>::max(),
          "{} bytes of distinct words; the trainer takes up to 4 GiB: give it less text", places);
  symbols_.reserve(places);
  word_of_.reserve(places);
  symbols_.push_back(kBorder);
  word_of_.push_back(0);
  for (const auto& [word, count] : words) {
    const auto number = static_cast<std::uint32_t>(word_counts_.size());
    word_counts_.push_back(count);
    for (std::size_t i = 0; i < word.size(); ++i) {
      const std::int32_t id = byte_ids[static_cast<std::uint8_t>(word[i])];
      if (i > 0) add(symbols_.back(), id, static_cast<Place>(symbols_.size() - 1), count);
      symbols_.push_back(id);
      word_of_.push_back(number);
    }
    symbols_.push_back(kBorder);
    word_of_.push_back(number);
  }
  for (const auto& [key, pair] : pairs_) queue_.push({pair.count, key});
  grown_.clear();
}

void PairIndex::add(std::int32_t left, std::int32_t right, Place place, std::int64_t count) {
  const std::uint64_t key = key_of(left, right);
  Pair& pair = pairs_[key];
  pair.count += count;
  pair.places.push_back(place);
  grown_.push_back(key);
}

void PairIndex::remove(std::int32_t left, std::int32_t right, std::int64_t count) {
  const auto found = pairs_.find(key_of(left, right));
  found->second.count -= count;
  if (found->second.count == 0) pairs_.erase(found);
}

std::optional<SymbolPair> PairIndex::most_frequent() {
  while (!queue_.empty()) {
    const Candidate top = queue_.top();
    const auto found = pairs_.find(top.key);
    const std::int64_t count = found == pairs_.end() ? 0 : found->second.count;
    if (count == top.count) return count >= 2 ? std::optional(pair_of(top.key)) : std::nullopt;
    // The count fell (or the pair merged) after this entry was made.
    queue_.pop();
    if (count > 0 && count < top.count) queue_.push({count, top.key});
  }
  return std::nullopt;
}

bool PairIndex::stands(SymbolPair pair, Place place) const {
  const Place right = place + symbol_bytes_[static_cast<std::size_t>(pair.left)];
  return symbols_[place] == pair.left && symbols_[right] == pair.right;
}

void PairIndex::merge_at(SymbolPair pair, std::int32_t merged, Place place) {
  const std::int64_t count = word_counts_[word_of_[place]];
  const Place right = place + symbol_bytes_[static_cast<std::size_t>(pair.left)];
  const Place end = right + symbol_bytes_[static_cast<std::size_t>(pair.right)];
  const std::int32_t before = symbols_[place - 1];
  const std::int32_t after = symbols_[end];
  if (before != kBorder) {
    remove(before, pair.left, count);
    const Place start = place - symbol_bytes_[static_cast<std::size_t>(before)];
    add(before, merged, start, count);
  }
  if (after != kBorder) {
    remove(pair.right, after, count);
    add(merged, after, place, count);
  }
  remove(pair.left, pair.right, count);
  symbols_[right - 1] = kInside;
  symbols_[right] = kInside;
  symbols_[place] = merged;
  symbols_[end - 1] = merged;
}

void PairIndex::merge(SymbolPair pair, std::int32_t merged) {
  const auto bytes_of = [&](std::int32_t id) {
    return symbol_bytes_[static_cast<std::size_t>(id)];
  };
  if (static_cast<std::size_t>(merged) >= symbol_bytes_.size()) {
    symbol_bytes_.resize(static_cast<std::size_t>(merged) + 1);
  }
  symbol_bytes_[static_cast<std::size_t>(merged)] = bytes_of(pair.left) + bytes_of(pair.right);
  std::vector<Place> places;
  std::swap(places, pairs_.find(key_of(pair.left, pair.right))->second.places);
  std::ranges::sort(places);
  grown_.clear();
  for (const Place place : places) {
    if (stands(pair, place)) merge_at(pair, merged, place);
  }
  std::ranges::sort(grown_);
  grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
  for (const std::uint64_t key : grown_) {
    if (const auto grown = pairs_.find(key); grown != pairs_.end()) {
      queue_.push({grown->second.count, key});
    }
  }
}

}  // namespace mixspan
