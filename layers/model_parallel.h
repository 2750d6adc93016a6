// How a model is spread over ranks: what its layers hold and whom they talk to.
#pragma once

#include <cstdint>

#include "layers/tensor_parallel.h"

namespace mixspan {

struct ModelParallel {
  TensorParallel tp;
};

/// Where in the model a layer is.
struct LayerPlace {
  std::int64_t layer;             ///< -1: outside the blocks
  const ModelParallel* parallel;  ///< outlives the layer
};

}  // namespace mixspan
