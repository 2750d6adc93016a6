// The ranks as a (dp, cp, tp) box; tp is innermost and so stays within a node.
#pragma once

#include <memory>
#include <string>

#include "parallel/communicator.h"

namespace mixspan {

/// Data parallel: over sequences. Context parallel: over the positions of a sequence. Tensor
/// parallel: over heads, mlp columns and vocabulary.
struct MeshShape {
  int dp = 1, cp = 1, tp = 1;
  int size() const { return dp * cp * tp; }
  std::string str() const;  ///< "dp 2 x cp 1 x tp 2"
  friend bool operator==(const MeshShape&, const MeshShape&) = default;
};

/// rank = (dp_rank * cp + cp_rank) * tp + tp_rank. Each axis is a communicator; one of size 1 does
/// nothing, so that callers need not ask.
class Mesh {
 public:
  /// A collective call. Throws InputError when the shape is not that of the world.
  Mesh(std::unique_ptr<Communicator> world, MeshShape shape);

  const MeshShape& shape() const { return shape_; }
  Communicator& world() const { return *world_; }
  Communicator& tp() const { return *tp_; }
  Communicator& cp() const { return *cp_; }
  Communicator& dp() const { return *dp_; }
  /// The ranks that hold the same parameters: gradients are summed over them.
  Communicator& dp_cp() const { return *dp_cp_; }
  bool is_first() const { return world_->rank() == 0; }
  /// Of every axis; see Communicator::trace.
  void trace(Tracer* tracer) const;

 private:
  MeshShape shape_;
  std::unique_ptr<Communicator> world_, tp_, cp_, dp_, dp_cp_;
};

}  // namespace mixspan
