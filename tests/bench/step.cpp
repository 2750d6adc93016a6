// A training step against the machine's measured peak, and the cost of a token as texts grow
// longer.
//   bench_step            width 384, 6 layers, T = 1024; all-sliding models from T = 1k to 8k
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "experiments/run/machine.h"
#include "experiments/run/trainer.h"
#include "kernels/peak.h"
#include "tests/bench/random_tokens.h"

namespace mixspan {
namespace {

struct Timing {
  double seconds = std::numeric_limits<double>::infinity();  // of the fastest step
  double flops = 0;
  std::int64_t tokens = 0;
};

Timing time_steps(Machine& machine, const RunConfig& config, int repeats) {
  const RandomTokens data(config.model.context, config.model.vocab);
  Trainer trainer(machine.exec(), config, data);
  Timing best;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const StepReport report = trainer.step(i);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    best.seconds = std::min(best.seconds, took.count());
    best.flops = report.flops;
    best.tokens = report.tokens;
  }
  return best;
}

RunConfig config_of(std::int64_t T, const char* full_layers) {
  RunConfig c;
  c.model.layers = 6;
  c.model.width = 384;
  c.model.heads = 6;
  c.model.context = T;
  c.model.vocab = 4096;
  c.model.span = "sliding:128";
  c.model.full_layers = full_layers;
  c.train.batch_tokens = 8192;
  return c;
}

void print(const char* what, std::int64_t T, const Timing& t, double peak) {
  fmt::print("{:<28} {:>6} {:>9.1f} {:>9.2f} {:>8.1f} {:>9.1f} %\n", what, T, t.seconds * 1e3,
             t.seconds * 1e6 / static_cast<double>(t.tokens), t.flops / t.seconds / 1e9,
             100 * t.flops / t.seconds / peak);
}

int run() {
  Machine machine;
  const double peak = measure_sgemm_peak(machine.exec());
  fmt::print("sgemm peak {:.1f} GFLOP/s, {} threads\n", peak / 1e9, machine.exec().threads.size());
  fmt::print("{:<28} {:>6} {:>9} {:>9} {:>8} {:>11}\n", "model (6 layers, width 384)", "T",
             "step ms", "us/token", "GFLOP/s", "of peak");
  for (const char* full : {"all", "bottom:2", "none"}) {
    const Timing t = time_steps(machine, config_of(1024, full), 5);
    print(fmt::format("full layers: {}", full).c_str(), 1024, t, peak);
    if (std::string_view(full) == "bottom:2") {
      const double share = t.flops / t.seconds / peak;
      fmt::print("  step at {:.1f} % of the sgemm peak, wanted 50: {}\n", 100 * share,
                 share >= 0.5 ? "PASS" : "FAIL");
    }
  }
  double first = 0, last = 0;
  for (std::int64_t T : {1024, 2048, 4096, 8192}) {
    const Timing t = time_steps(machine, config_of(T, "none"), 7);
    print("all sliding:128", T, t, peak);
    last = t.seconds / static_cast<double>(t.tokens);
    if (first == 0) first = last;
  }
  fmt::print("  time per token, T = 8k over T = 1k: {:.3f}, wanted below 1.1: {}\n", last / first,
             last / first < 1.1 ? "PASS" : "FAIL");
  return 0;
}

}  // namespace
}  // namespace mixspan

int main() { return mixspan::run(); }
