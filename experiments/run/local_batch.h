// The part of a batch that one rank of the cp axis works on.
#pragma once

#include "core/exec.h"
#include "data/loader.h"
#include "layers/mixer.h"
#include "layers/model.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

/// The way of batches to a device: pinned memory that copies leave without a stop, and memory
/// there. One batch at a time: all that reads the last one must be done before the next is put. On
/// a CPU it does nothing.
class BatchStaging {
 public:
  /// Ends the last batch and makes room for one of `bytes`.
  void start(const Exec&, std::size_t bytes);
  /// The same numbers where the Exec computes: contiguous `host` memory itself, or its copy.
  ConstView put(const Exec&, ConstView host);
  static std::size_t room_for(ConstView host);

 private:
  PinnedBuffer pinned_;
  DeviceBuffer on_device_;
  std::size_t used_ = 0;
};

/// Rows of a batch, or of a part of it, as one rank holds them. The views it hands out live as long
/// as it does and the staging holds no other batch; it does not move.
class LocalBatch {
 public:
  /// Of `batch` (whole sequences) the positions that `layout` gives to the rank of `cp`. Throws
  /// where a device would read outside the tables of `model`, which nothing there looks for.
  LocalBatch(const Exec&, BatchStaging&, const Batch& batch, const ModelConfig& model,
             Communicator& cp, const SequenceLayout& layout);
  LocalBatch(const LocalBatch&) = delete;
  LocalBatch& operator=(const LocalBatch&) = delete;

  struct Views {
    ConstView tokens, targets, positions, document_start;
  };
  std::int64_t rows() const { return host_.tokens.dim(0); }
  /// Rows [begin, begin + count). `split` is filled for them and must outlive the input.
  struct Part {
    SequenceSplit split;
    ConstView tokens, positions, document_start;  ///< (count, held) i32; positions in the text
    ConstView targets;                            ///< (count * held) i32
    ConstView host_positions, host_targets;       ///< the same, which the host may read
    ModelInput input() const {
      return {tokens, positions, document_start, split.cp.size() > 1 ? &split : nullptr};
    }
  };
  Part part(std::int64_t begin, std::int64_t count) const;

 private:
  const Batch& batch_;
  Communicator& cp_;
  const SequenceLayout& layout_;
  Tensor copies_[4];              // where cp splits the sequences
  Views host_, there_;            // what this rank holds; there: where the Exec computes
  ConstView whole_starts_there_;  // documents of the whole sequences
};

}  // namespace mixspan
