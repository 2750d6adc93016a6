// Rows of tokens cut from ranges of a corpus.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "data/loader.h"
#include "data/split.h"

namespace mixspan {

/// Ranges of a corpus, one after the other, as one sequence of tokens.
class TokenSequence {
 public:
  TokenSequence(std::shared_ptr<const Corpus> corpus, std::vector<TokenRange> ranges);

  std::int64_t size() const { return size_; }
  const Corpus& corpus() const { return *corpus_; }
  /// Fills `into` with the tokens at place, place + 1, ..., going on at 0 after the end.
  void read_ring(std::int64_t place, std::span<std::int32_t> into) const;

 private:
  std::shared_ptr<const Corpus> corpus_;
  std::vector<TokenRange> ranges_;
  std::vector<std::int64_t> starts_;  // where each range begins in the sequence
  std::int64_t size_ = 0;
};

/// `count` rows of T; document_start only where documents are isolated.
Batch make_batch(std::int64_t count, std::int64_t T, bool isolate_documents);

/// Fills row b's positions, and where documents are isolated its document starts, from its tokens:
/// a document begins at each end-of-text token and at the row's first token.
void fill_positions(Batch& batch, std::int64_t b, std::int32_t end_of_text);

}  // namespace mixspan
