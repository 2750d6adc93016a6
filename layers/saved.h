// What a layer's forward keeps for its backward.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/arena.h"
#include "core/exec.h"
#include "kernels/matmul.h"
#include "layers/model_config.h"

namespace mixspan {

/// How dear a result is to compute again.
enum class Rebuild {
  dearest,  ///< what a mixer computes of many tokens: attention, and what was fetched for it
  dear,     ///< a matrix product
  cheap,    ///< one pass over memory: a norm, an activation function
};

/// Named results of one layer's forward. The recomputation policy decides where a result lives: in
/// the activation arena until the backward pass, or in scratch, gone when the layer returns.
///   none: everything is kept.  selective: what is cheap to rebuild is not.  products: only what is
///   dearest is.  full: nothing is.
class Saved {
 public:
  /// `arena` may be null when the policy is full. `earlier`: what another forward of the same input
  /// has kept, which this one need not compute again; it must outlive this.
  Saved(Arena* arena, Recompute policy, const Saved* earlier = nullptr)
      : arena_(arena), policy_(policy), earlier_(earlier) {}

  /// Memory for a result, of storage_dtype(ex). Not zeroed.
  View make(const Exec& ex, std::string_view name, Shape shape, Rebuild cost = Rebuild::dear) {
    return make_as(ex, name, shape, storage_dtype(ex), cost);
  }
  /// For what is not stored as activations are: sums, and statistics of rows.
  View make_as(const Exec& ex, std::string_view name, Shape shape, DType dtype,
               Rebuild cost = Rebuild::dear) {
    return note(name, arena_for(ex, cost).allocate(name, shape, dtype), cost);
  }
  /// (rows, cols), the rows row_stride() apart.
  View make_rows(const Exec& ex, std::string_view name, std::int64_t rows, std::int64_t cols,
                 DType dtype, Rebuild cost = Rebuild::dear) {
    const Shape shape{rows, row_stride(cols, dtype, ex.device.kind)};
    return note(name, arena_for(ex, cost).allocate(name, shape, dtype).slice(1, 0, cols), cost);
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }
  View get(std::string_view name) const {
    const View* v = find(name);
    check(v != nullptr, "backward needs '{}', which forward did not keep", name);
    return *v;
  }
  Recompute policy() const { return policy_; }

 private:
  bool keeps(Rebuild cost) const {
    switch (policy_) {
      case Recompute::none:
        return true;
      case Recompute::selective:
        return cost != Rebuild::cheap;
      case Recompute::products:
        return cost == Rebuild::dearest;
      case Recompute::full:
        return false;
    }
    return false;
  }
  Arena& arena_for(const Exec& ex, Rebuild cost) const {
    return keeps(cost) ? *arena_ : ex.scratch;
  }
  View note(std::string_view name, View v, Rebuild cost) {
    if (keeps(cost)) kept_.emplace_back(name, v);
    return v;
  }
  const View* find(std::string_view name) const {
    for (const auto& [n, v] : kept_) {
      if (n == name) return &v;
    }
    return earlier_ == nullptr ? nullptr : earlier_->find(name);
  }
  Arena* arena_;
  Recompute policy_;
  const Saved* earlier_;
  std::vector<std::pair<std::string, View>> kept_;
};

}  // namespace mixspan
