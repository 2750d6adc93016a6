// Merges the bytes of one word into tokens.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/bpe_model.h"

namespace mixspan {

/// Applies the merge of lowest rank, the leftmost where there are several, until none applies.
/// Immutable; many threads may use it.
class BpeMerger {
 public:
  explicit BpeMerger(const BpeModel& model);
  /// Appends the tokens of `word` (not empty). Short words in O(n^2) by a scan that fits into
  /// registers and L1, long ones in O(n log n) with about 30 bytes of scratch a byte.
  void merge(std::string_view word, std::vector<std::int32_t>& out) const;

 private:
  /// The rank of a pair, kNoRank when it does not merge.
  std::int32_t rank(std::int32_t left, std::int32_t right) const;
  void merge_short(std::string_view word, std::vector<std::int32_t>& out) const;
  void merge_long(std::string_view word, std::vector<std::int32_t>& out) const;

  std::array<std::int32_t, 256> byte_ids_;
  std::vector<std::int32_t> byte_pair_ranks_;  ///< (256, 256): most look-ups, without hashing
  boost::unordered_flat_map<std::uint64_t, std::int32_t> ranks_;
  std::vector<std::int32_t> results_;  ///< by rank
};

}  // namespace mixspan
