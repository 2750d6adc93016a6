// Training a small model on every mesh, with ranks that are threads, for comparison with one rank.
#pragma once

#include <cstdint>
#include <functional>

#include "experiments/run/run_config.h"
#include "experiments/run/trainer.h"
#include "parallel/mesh.h"
#include "tests/experiments/mesh_result.h"

namespace mixspan::test {

/// Six layers of spans that are short, long and in blocks; T = 50 divides by nothing that matters.
/// Clipping is off, so that adam_m after one step is (1 - beta1) times the gradient.
RunConfig mesh_config(MeshShape mesh = {}, std::int64_t heads = 8, std::int64_t rows = 8);

/// Calls body(trainer) on every rank of config.parallel's mesh, each with one thread. The rows are
/// random tokens; with `packed` they are documents of uneven lengths that do not see each other.
/// Some targets are ignored either way.
void on_every_rank(const RunConfig& config, bool packed, const std::function<void(Trainer&)>& body);

/// Trains for `steps` on config.parallel's mesh.
MeshResult run_on_mesh(const RunConfig& config, bool packed, std::int64_t steps);

}  // namespace mixspan::test
