// The edges of a region in which the tp axis splits heads, mlp columns or vocabulary. Shoeybi et
// al. 2019 (arXiv:1909.08053), Korthikanti et al. 2022 (arXiv:2205.05198, sequence parallelism).
//
//   forward            backward           where
//   gather             reduce             into the region: x of all rows
//   reduce             gather             out of it: a partial sum on every rank
#pragma once

#include <memory>

#include "core/exec.h"
#include "kernels/vocab_shard.h"
#include "layers/param_split.h"
#include "parallel/communicator.h"

namespace mixspan {

class TensorParallel {
 public:
  TensorParallel();  ///< one rank
  /// With `sequence_parallel` each rank holds a share of the rows outside the regions, else all.
  /// `tp` must outlive this.
  TensorParallel(Communicator& tp, bool sequence_parallel);

  TpPart part() const { return {comm_->rank(), comm_->size()}; }
  bool alone() const { return comm_->size() == 1; }
  bool splits_rows() const { return sequence_parallel_ && !alone(); }
  Communicator& comm() const { return *comm_; }
  /// The part of a vocabulary whose embeddings and logits this rank has.
  VocabShard vocab_shard(std::int64_t vocab) const;
  /// Of R rows, those this rank holds outside the regions.
  Range rows(std::int64_t R) const;

  /// All R rows of x (mine, C): gathered in ex.scratch, or x itself where nothing is split.
  ConstView gather(const Exec&, const Call&, ConstView x, std::int64_t R) const;
  /// Memory for a partial sum (R, C) that reduce() will turn into `mine`; `mine` itself where that
  /// does.
  View partial(const Exec&, View mine, std::int64_t R) const;
  /// mine = this rank's rows of the sum of all ranks' partial(); uses the partial up.
  void reduce(const Exec&, const Call&, View mine, View partial) const;

 private:
  std::shared_ptr<Communicator> self_;  // where there is no other
  Communicator* comm_;
  bool sequence_parallel_ = false;
};

/// Out of a region: y(mine, C) = residual + x w^T, summed over the ranks, + bias. x: (R, columns).
/// y may be the residual itself.
void leave_forward(const Exec&, const TensorParallel&, const Call&, View y, ConstView x,
                   ConstView w, ConstView bias, ConstView residual);

}  // namespace mixspan
