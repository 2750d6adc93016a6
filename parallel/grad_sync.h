// Gradients summed over the ranks that hold the same parameters, a layer at a time while backward
// goes on with the layers below. Also who owns what when the optimiser is sharded (ZeRO-1,
// Rajbhandari et al. 2020, arXiv:1910.02054).
#pragma once

#include <deque>
#include <vector>

#include "parallel/communicator.h"

namespace mixspan {

class GradSync {
 public:
  /// Buckets whose sums are under way at a time. Of each a rank holds what the others have sent of
  /// its share: with P ranks (P - 1) / P of the bucket.
  static constexpr std::size_t kUnderWay = 4;

  /// buckets: ranges of the flat buffers, one for each layer, that cover them; each begins and ends
  /// on a cache line. With `sharded` each rank gets, and owns, its share of every bucket; else all
  /// of it. `ranks` must outlive this.
  GradSync(Communicator& ranks, std::vector<Range> buckets, bool sharded);

  /// Posts the sum of a bucket of `grads` (flat, f32), which must not change until finish();
  /// before, where kUnderWay are under way, waits for the first of them. The same order on every
  /// rank. `layer` names it in the counts.
  void ready(View grads, std::size_t bucket, std::int64_t layer);
  /// Waits for all that was posted. What this rank owns then holds the sum over the ranks.
  void finish();

  /// The parts of the flat buffers that this rank updates, by rising position.
  const std::vector<Range>& owned() const { return owned_; }
  bool sharded() const { return sharded_; }
  /// Fills all of a flat buffer from what each rank owns.
  void gather(View flat, const char* what) const { gather(ranks_, flat, what); }
  /// The same for one in host memory.
  void gather_on_host(View flat, const char* what) const { gather(ranks_.host(), flat, what); }

 private:
  void gather(Communicator& ranks, View flat, const char* what) const;
  std::vector<Range> parts_of(std::size_t bucket) const;

  Communicator& ranks_;
  std::vector<Range> buckets_;
  bool sharded_;
  std::vector<Range> owned_;
  std::deque<Pending> pending_;
};

}  // namespace mixspan
