// Where every pair of neighbouring symbols stands in the words, and how often, while they merge.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "data/word_counter.h"

namespace mixspan {

struct SymbolPair {
  std::int32_t left, right;
  bool operator==(const SymbolPair&) const = default;
};

/// Counts pairs once and then follows each merge, so that a merge costs what it changes. Needs 8
/// bytes for every byte of a distinct word, and 4 for every place of a pair.
class PairIndex {
 public:
  PairIndex(const WordCounts& words, const std::array<std::int32_t, 256>& byte_ids);

  /// The pair that occurs most often, at least twice; among equals the one with the smallest left
  /// and then right id. In "aaa" the pair "aa" counts twice, as in Hugging Face's trainer.
  std::optional<SymbolPair> most_frequent();
  /// Puts `merged` in the place of the pair wherever it stands, in each word from the left.
  void merge(SymbolPair pair, std::int32_t merged);

 private:
  using Place = std::uint32_t;  ///< of a symbol's first byte in symbols_
  struct Pair {
    std::int64_t count = 0;
    std::vector<Place> places;  ///< of left symbols; may hold places that are no longer such a pair
  };
  struct Candidate {
    std::int64_t count;
    std::uint64_t key;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : key > other.key;
    }
  };
  void add(std::int32_t left, std::int32_t right, Place place, std::int64_t count);
  void remove(std::int32_t left, std::int32_t right, std::int64_t count);
  /// True when symbol `id` stands at `place`, followed by `right`.
  bool stands(SymbolPair pair, Place place) const;
  void merge_at(SymbolPair pair, std::int32_t merged, Place place);

  /// All words, a kBorder between them. A symbol of n bytes has n entries: its id in the first and
  /// the last, kInside in between.
  std::vector<std::int32_t> symbols_;
  std::vector<std::uint32_t> word_of_;       ///< by place
  std::vector<std::int64_t> word_counts_;    ///< by word
  std::vector<std::uint32_t> symbol_bytes_;  ///< by id
  boost::unordered_flat_map<std::uint64_t, Pair> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<std::uint64_t> grown_;  ///< keys of pairs that a merge in progress has made
};

}  // namespace mixspan
