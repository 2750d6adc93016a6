#include "layers/tensor_parallel.h"

#include "core/copy.h"
#include "kernels/matmul.h"
#include "kernels/residual.h"
#include "parallel/shares.h"

namespace mixspan {

TensorParallel::TensorParallel() : self_(make_self_communicator()), comm_(self_.get()) {}

TensorParallel::TensorParallel(Communicator& tp, bool sequence_parallel)
    : comm_(&tp), sequence_parallel_(sequence_parallel) {}

VocabShard TensorParallel::vocab_shard(std::int64_t vocab) const {
  return {share(vocab, comm_->size(), comm_->rank()).begin, vocab};
}

Range TensorParallel::rows(std::int64_t R) const {
  return splits_rows() ? share(R, comm_->size(), comm_->rank()) : Range{0, R};
}

ConstView TensorParallel::gather(const Exec& ex, const Call& call, ConstView x,
                                 std::int64_t R) const {
  if (!splits_rows()) return x;
  const View all = ex.scratch.allocate("gathered rows", {R, x.dim(1)}, x.dtype());
  const Range mine = rows(R);
  copy(ex, all.slice(0, mine.begin, mine.end), x);
  comm_->all_gather(call, all, shares(R, comm_->size())).wait();
  return all;
}

View TensorParallel::partial(const Exec& ex, View mine, std::int64_t R) const {
  return splits_rows() ? ex.scratch.allocate("partial sum", {R, mine.dim(1)}, mine.dtype()) : mine;
}

void TensorParallel::reduce(const Exec& ex, const Call& call, View mine, View partial) const {
  if (alone()) return;
  if (!splits_rows()) return comm_->all_reduce_sum(call, mine).wait();
  const std::int64_t R = partial.dim(0);
  comm_->reduce_scatter_sum(call, partial, shares(R, comm_->size())).wait();
  const Range held = rows(R);
  copy(ex, mine, partial.slice(0, held.begin, held.end));
}

void leave_forward(const Exec& ex, const TensorParallel& tp, const Call& call, View y, ConstView x,
                   ConstView w, ConstView bias, ConstView residual) {
  if (tp.alone()) return linear_residual_forward(ex, y, x, w, bias, residual);
  const Arena::Scope scope(ex.scratch);
  const View sum = ex.scratch.allocate("branch", y.shape(), y.dtype());
  const View partial = tp.partial(ex, sum, x.dim(0));
  linear_forward(ex, partial, x, w, {});
  tp.reduce(ex, call, sum, partial);
  bias_residual(ex, y, sum, bias, residual);
}

}  // namespace mixspan
