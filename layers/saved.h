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
  dear,   ///< a matrix product or attention
  cheap,  ///< one pass over memory: a norm, an activation function
};

/// Named results of one layer's forward. The recomputation policy decides where a result lives: in
/// the activation arena until the backward pass, or in scratch, gone when the layer returns.
///   none: everything is kept.  selective: what is cheap to rebuild is not.  full: nothing is.
class Saved {
 public:
  /// `arena` may be null when the policy is full.
  Saved(Arena* arena, Recompute policy) : arena_(arena), policy_(policy) {}

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
    return policy_ == Recompute::none || (policy_ == Recompute::selective && cost == Rebuild::dear);
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
    return nullptr;
  }
  Arena* arena_;
  Recompute policy_;
  std::vector<std::pair<std::string, View>> kept_;
};

}  // namespace mixspan
