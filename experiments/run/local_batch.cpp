#include "experiments/run/local_batch.h"

#include <algorithm>

namespace mixspan {

namespace {

// The positions of `rank` out of (B, T) i32.
Tensor held_positions(const Tensor& whole, const SequenceLayout& layout, int rank) {
  if (whole.view().empty()) return {};
  const std::int64_t B = whole.shape()[0], T = whole.shape()[1], held = layout.rows(rank);
  check(T == layout.T(), "a batch of {} tokens a row for a layout of {}", T, layout.T());
  Tensor part({B, held}, DType::i32);
  for (std::int64_t b = 0; b < B; ++b) {
    std::int32_t* to = part.data<std::int32_t>() + b * held;
    for (const Range& chunk : layout.chunks(rank)) {
      to = std::copy_n(whole.data<std::int32_t>() + b * T + chunk.begin, chunk.size(), to);
    }
  }
  return part;
}

}  // namespace

LocalBatch::LocalBatch(const Batch& batch, Communicator& cp, const SequenceLayout& layout)
    : batch_(batch), cp_(cp), layout_(layout) {
  const Tensor* const whole[] = {&batch.tokens, &batch.targets, &batch.positions,
                                 &batch.document_start};
  ConstView* const held[] = {&tokens_, &targets_, &positions_, &document_start_};
  for (std::size_t i = 0; i < 4; ++i) {
    if (cp.size() > 1) copies_[i] = held_positions(*whole[i], layout, cp.rank());
    *held[i] = cp.size() > 1 ? copies_[i] : *whole[i];
  }
}

LocalBatch::Part LocalBatch::part(std::int64_t begin, std::int64_t count) const {
  const auto rows = [&](const ConstView& x) {
    return x.empty() ? x : x.slice(0, begin, begin + count);
  };
  const ConstView targets = rows(targets_);
  return {{cp_, layout_, rows(batch_.document_start)},
          rows(tokens_),
          rows(positions_),
          rows(document_start_),
          targets.reshape({targets.size()})};
}

}  // namespace mixspan
