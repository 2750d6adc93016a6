// Two ranks of one thread each against one, on the same global work, for each axis of the mesh.
//   bench_scaling
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "experiments/run/machine.h"
#include "experiments/run/trainer.h"
#include "parallel/thread_ranks.h"
#include "tests/bench/random_tokens.h"

namespace mixspan {
namespace {

using Clock = std::chrono::steady_clock;

// The fastest of several steps, on the first rank; each begins when all ranks are there.
double step_seconds(const RunConfig& config, int repeats) {
  const MeshShape shape = config.parallel.shape();
  const RandomTokens data(config.model.context, config.model.vocab);
  double best = std::numeric_limits<double>::infinity();
  run_thread_ranks(shape.size(), {}, [&](std::unique_ptr<Communicator> world) {
    const Mesh mesh(std::move(world), shape);
    Machine machine(1);
    Trainer trainer(machine.exec(), config, data, mesh);
    trainer.step(0);  // touches the memory
    for (int i = 1; i <= repeats; ++i) {
      mesh.world().barrier({"start"});
      const Clock::time_point begin = Clock::now();
      trainer.step(i);
      mesh.world().barrier({"end"});
      const std::chrono::duration<double> took = Clock::now() - begin;
      if (mesh.is_first()) best = std::min(best, took.count());
    }
  });
  return best;
}

RunConfig model(std::int64_t width, std::int64_t T, const char* full_layers, std::int64_t tokens) {
  RunConfig c;
  c.model.layers = 4;
  c.model.width = width;
  c.model.heads = width / 64;
  c.model.context = T;
  c.model.vocab = 4096;
  c.model.span = "sliding:128";
  c.model.full_layers = full_layers;
  c.train.batch_tokens = tokens;
  c.train.steps = 100;
  return c;
}

struct Case {
  const char* name;
  RunConfig config;
  std::int64_t ParallelConfig::*axis;
  double wanted;
};

int run() {
  const std::vector<Case> cases{
      {"dp, width 384, T = 1024, 2 full", model(384, 1024, "bottom:2", 8192), &ParallelConfig::dp,
       1.8},
      {"cp, width 384, T = 8192, sliding", model(384, 8192, "none", 8192), &ParallelConfig::cp,
       1.7},
      {"tp, width 1024, T = 1024, 2 full", model(1024, 1024, "bottom:2", 2048), &ParallelConfig::tp,
       1.7},
  };
  fmt::print("{:<34} {:>10} {:>10} {:>7}\n", "4 layers, sliding:128", "1 rank ms", "2 ranks ms",
             "faster");
  for (const Case& c : cases) {
    RunConfig two = c.config;
    two.parallel.*c.axis = 2;
    double one_s = std::numeric_limits<double>::infinity(), two_s = one_s;
    for (int turn = 0; turn < 3; ++turn) {  // in turn, so that a slow minute falls on both
      one_s = std::min(one_s, step_seconds(c.config, 2));
      two_s = std::min(two_s, step_seconds(two, 2));
    }
    fmt::print("{:<34} {:>10.0f} {:>10.0f} {:>7.2f}, wanted {:.1f}: {}\n", c.name, one_s * 1e3,
               two_s * 1e3, one_s / two_s, c.wanted, one_s / two_s >= c.wanted ? "PASS" : "FAIL");
  }
  return 0;
}

}  // namespace
}  // namespace mixspan

int main() { return mixspan::run(); }
