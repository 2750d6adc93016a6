#include "parallel/grad_sync.h"

#include <algorithm>

#include "parallel/shares.h"

namespace mixspan {

namespace {
constexpr std::int64_t kLineFloats = 16;  // no two ranks own parts of one cache line
}  // namespace

GradSync::GradSync(Communicator& ranks, std::vector<Range> buckets, bool sharded)
    : ranks_(ranks), buckets_(std::move(buckets)), sharded_(sharded && ranks.size() > 1) {
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    check(buckets_[b].begin % kLineFloats == 0 && buckets_[b].end % kLineFloats == 0,
          "gradients [{}, {}) do not begin and end on a cache line", buckets_[b].begin,
          buckets_[b].end);
    const Range mine = parts_of(b)[static_cast<std::size_t>(ranks_.rank())];
    const Range held{buckets_[b].begin + mine.begin, buckets_[b].begin + mine.end};
    owned_.push_back(sharded_ ? held : buckets_[b]);
  }
  std::sort(owned_.begin(), owned_.end(), [](Range a, Range b) { return a.begin < b.begin; });
  owned_ = joined(owned_);
}

// By rank, counted from the bucket's begin.
std::vector<Range> GradSync::parts_of(std::size_t bucket) const {
  std::vector<Range> parts = shares(buckets_[bucket].size() / kLineFloats, ranks_.size());
  for (Range& part : parts) part = {part.begin * kLineFloats, part.end * kLineFloats};
  return parts;
}

void GradSync::ready(View grads, std::size_t bucket, std::int64_t layer) {
  const View x = grads.slice(0, buckets_[bucket].begin, buckets_[bucket].end);
  const Call call{"gradients", layer};
  while (pending_.size() >= kUnderWay) {
    pending_.front().wait();
    pending_.pop_front();
  }
  pending_.push_back(sharded_ ? ranks_.reduce_scatter_sum(call, x, parts_of(bucket))
                              : ranks_.all_reduce_sum(call, x));
}

void GradSync::finish() {
  for (Pending& pending : pending_) pending.wait();
  pending_.clear();
}

void GradSync::gather(Communicator& ranks, View flat, const char* what) const {
  if (!sharded_) return;
  std::vector<Pending> pending;
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    pending.push_back(
        ranks.all_gather({what}, flat.slice(0, buckets_[b].begin, buckets_[b].end), parts_of(b)));
  }
  for (Pending& p : pending) p.wait();
}

}  // namespace mixspan
