// Which part of a vocabulary a table, or a matrix of logits, holds.
#pragma once

#include <cstdint>

namespace mixspan {

/// Row (or column) i stands for token begin + i.
struct VocabShard {
  std::int64_t begin = 0;
  std::int64_t total = 0;  ///< tokens of the whole vocabulary; 0: the shard is all of it

  std::int64_t vocab(std::int64_t held) const { return total == 0 ? begin + held : total; }
  bool holds(std::int64_t token, std::int64_t held) const {
    return begin <= token && token < begin + held;
  }
};

}  // namespace mixspan
