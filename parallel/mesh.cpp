#include "parallel/mesh.h"

#include <fmt/format.h>

namespace mixspan {

std::string MeshShape::str() const { return fmt::format("dp {} x cp {} x tp {}", dp, cp, tp); }

Mesh::Mesh(std::unique_ptr<Communicator> world, MeshShape shape)
    : shape_(shape), world_(std::move(world)) {
  require(shape.dp >= 1 && shape.cp >= 1 && shape.tp >= 1 && shape.size() == world_->size(),
          "a mesh of {} has {} ranks, and there are {}; wanted parallel.dp * cp * tp equal to the "
          "number of ranks",
          shape.str(), shape.size(), world_->size());
  const int rank = world_->rank(), tp = rank % shape.tp, cp = rank / shape.tp % shape.cp,
            dp = rank / shape.tp / shape.cp;
  tp_ = world_->split(dp * shape.cp + cp, "tp");
  cp_ = world_->split(dp * shape.tp + tp, "cp");
  dp_ = world_->split(cp * shape.tp + tp, "dp");
  dp_cp_ = world_->split(tp, "dp_cp");
}

void Mesh::trace(Tracer* tracer) const {
  for (Communicator* axis : {world_.get(), tp_.get(), cp_.get(), dp_.get(), dp_cp_.get()}) {
    axis->trace(tracer);
  }
}

}  // namespace mixspan
