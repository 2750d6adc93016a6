// Which transport each layer's keys and values take.
#pragma once

#include <vector>

#include "experiments/run/run_config.h"
#include "parallel/exchange_plan.h"

namespace mixspan {

/// What parallel.transport says for each layer; "auto": a halo where its forward moves less than a
/// ring's. That of a full span does not: it would hold the keys of the whole sequence.
std::vector<Transport> layer_transports(const RunConfig&, const SequenceLayout&);

}  // namespace mixspan
