// How a model is spread over ranks: what its layers hold and whom they talk to.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/tensor_parallel.h"
#include "parallel/exchange_plan.h"

namespace mixspan {

struct ModelParallel {
  TensorParallel tp;
  /// How each layer's keys and values travel where sequences are split (see SequenceSplit); empty:
  /// they are not.
  std::vector<Transport> transports;
};

/// Where in the model a layer is.
struct LayerPlace {
  std::int64_t layer;
  const ModelParallel* parallel;  ///< outlives the layer
  Transport transport() const { return parallel->transports.at(static_cast<std::size_t>(layer)); }
};

}  // namespace mixspan
