// The machines that choices of a run are made by.
#pragma once

#include <string_view>

#include "experiments/cost/machine_file.h"

namespace mixspan {

/// A usual machine for `device` ("cpu", "cuda"): that of experiments/recipes/machines/cpu.toml or
/// h100x8.toml. It is built in, because what a run chooses must be the same on all its ranks and
/// when it goes on elsewhere; no measurement is.
MachineFile reference_machine(std::string_view device);

}  // namespace mixspan
