// The part of a batch that one rank of the cp axis works on.
#pragma once

#include "data/loader.h"
#include "layers/mixer.h"
#include "layers/model.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

/// Rows of a batch, or of a part of it, as one rank holds them. The views it hands out live as long
/// as it does; it does not move.
class LocalBatch {
 public:
  /// Of `batch` (whole sequences) the positions that `layout` gives to the rank of `cp`.
  LocalBatch(const Batch& batch, Communicator& cp, const SequenceLayout& layout);
  LocalBatch(const LocalBatch&) = delete;
  LocalBatch& operator=(const LocalBatch&) = delete;

  std::int64_t rows() const { return tokens_.dim(0); }
  /// Rows [begin, begin + count). `split` is filled for them and must outlive the input.
  struct Part {
    SequenceSplit split;
    ConstView tokens, positions, document_start;  ///< (count, held) i32; positions in the text
    ConstView targets;                            ///< (count * held) i32
    ModelInput input() const {
      return {tokens, positions, document_start, split.cp.size() > 1 ? &split : nullptr};
    }
  };
  Part part(std::int64_t begin, std::int64_t count) const;

 private:
  const Batch& batch_;
  Communicator& cp_;
  const SequenceLayout& layout_;
  Tensor copies_[4];  // where cp splits the sequences
  ConstView tokens_, targets_, positions_, document_start_;
};

}  // namespace mixspan
