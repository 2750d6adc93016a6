// Which tokens of a corpus are for training and which are held out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/corpus.h"

namespace mixspan {

/// Tokens [begin, end) of a corpus.
struct TokenRange {
  std::int64_t begin, end;
  friend bool operator==(const TokenRange&, const TokenRange&) = default;
};

/// Ranges in ascending order, disjoint. Neighbouring documents of one side are one range.
struct CorpusSplit {
  std::vector<TokenRange> training, held_out;
  std::int64_t held_out_documents = 0;
};

/// A document is held out when its hash is among the lowest `fraction` of all possible ones; at
/// least the document with the lowest hash is held out, and the one with the highest is not. A
/// corpus of a single document holds out its end. 0 <= fraction < 1; 0 holds out nothing. Throws
/// InputError where all documents are the same text.
CorpusSplit split_corpus(const Corpus& corpus, double fraction);

}  // namespace mixspan
