// How often each word occurs in a text.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "data/bpe_trainer.h"

namespace mixspan {

/// Hash and equality that let a map of strings be asked by string_view.
struct StringHash {
  using is_transparent = void;
  using is_avalanching = void;
  std::size_t operator()(std::string_view s) const;
};
struct StringEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};
using WordCounts = boost::unordered_flat_map<std::string, std::int64_t, StringHash, StringEqual>;

/// The words of every piece of `next`, as WordSplitter cuts them.
WordCounts count_words(const TextPieces& next);

}  // namespace mixspan
