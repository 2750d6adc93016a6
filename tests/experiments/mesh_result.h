// What training on a mesh came to, for comparison with one rank.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "experiments/run/trainer.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

struct MeshResult {
  std::vector<double> losses, grad_norms;  // of each step
  std::map<std::string, Tensor> state;     // whole tensors, by the names of a checkpoint
};

/// Trains for `steps`. Every rank calls it; only the first writes to `result`.
inline void train_into(MeshResult& result, Trainer& trainer, std::int64_t steps) {
  for (std::int64_t s = 0; s < steps; ++s) {
    const StepReport report = trainer.step(s);
    if (!trainer.mesh().is_first()) continue;
    result.losses.push_back(report.loss);
    result.grad_norms.push_back(report.grad_norm);
  }
  trainer.collect_state([&](const std::string& name, const ConstView& whole) {
    result.state.emplace(name, copy_of(whole));
  });
}

}  // namespace mixspan::test
