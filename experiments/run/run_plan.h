// The plan that a run follows: how each layer's keys and values move, and whether there is room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/cost/plan.h"
#include "experiments/run/run_config.h"
#include "parallel/communicator.h"

namespace mixspan {

/// A function of the config alone, made for reference_machine(): all ranks, and a run that goes on
/// elsewhere, choose the same transports. `mixspan plan` asks about a machine of the user's choice,
/// and may come to others. The config's model.vocab is known.
RunPlan plan_of(const RunConfig&);

/// One line for each span and transport, with its layers and the reason; none where the sequence is
/// on one rank.
std::vector<std::string> describe_transports(const RunConfig&, const RunPlan&);

/// Throws InputError, on all ranks of `world` the same, where a rank is predicted to need clearly
/// more than its share of the memory of its machine or device (`machine_bytes`, 0: what that has),
/// which the ranks there divide among them.
void require_memory(const RunConfig&, Communicator& world, Device device = {},
                    std::int64_t machine_bytes = 0);

}  // namespace mixspan
