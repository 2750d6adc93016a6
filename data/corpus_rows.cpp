#include "data/corpus_rows.h"

#include <algorithm>

#include "core/error.h"

namespace mixspan {

TokenSequence::TokenSequence(std::shared_ptr<const Corpus> corpus, std::vector<TokenRange> ranges)
    : corpus_(std::move(corpus)), ranges_(std::move(ranges)) {
  for (const TokenRange& range : ranges_) {
    starts_.push_back(size_);
    size_ += range.end - range.begin;
  }
  check(size_ > 0, "{}: a sequence of no tokens", corpus_->path().string());
}

void TokenSequence::read_ring(std::int64_t place, std::span<std::int32_t> into) const {
  place %= size_;
  auto range = static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), place) -
                                        starts_.begin() - 1);
  std::int64_t skip = place - starts_[range];
  while (!into.empty()) {
    const TokenRange& from = ranges_[range];
    const std::int64_t count = std::min(std::ssize(into), from.end - from.begin - skip);
    corpus_->read(from.begin + skip, into.first(static_cast<std::size_t>(count)));
    into = into.subspan(static_cast<std::size_t>(count));
    skip = 0;
    range = (range + 1) % ranges_.size();
  }
}

Batch make_batch(std::int64_t count, std::int64_t T, bool isolate_documents) {
  Batch batch{.tokens = Tensor({count, T}, DType::i32),
              .targets = Tensor({count, T}, DType::i32),
              .positions = Tensor({count, T}, DType::i32),
              .document_start = {}};
  if (isolate_documents) batch.document_start = Tensor({count, T}, DType::i32);
  return batch;
}

void fill_positions(Batch& batch, std::int64_t b, std::int32_t end_of_text) {
  const std::int64_t T = batch.tokens.shape()[1];
  const std::int32_t* tokens = batch.tokens.data<std::int32_t>() + b * T;
  std::int32_t* positions = batch.positions.data<std::int32_t>() + b * T;
  const bool isolate = !batch.document_start.view().empty();
  std::int32_t start = 0;
  for (std::int32_t t = 0; t < T; ++t) {
    if (isolate) {
      if (tokens[t] == end_of_text) start = t;
      batch.document_start.data<std::int32_t>()[b * T + t] = start;
    }
    positions[t] = t - start;
  }
}

}  // namespace mixspan
