// A training step against the machine's measured peak, and what a token costs, in time and memory,
// as texts grow longer.
//   bench_step [bf16]   6 layers: widths 384 and 768 at T = 1024; all-sliding, from T = 1k to 64k
// The peak is that of large square products in the same precision.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <utility>

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
  std::size_t activation_bytes = 0;  // of the tokens of a micro-batch
  std::int64_t micro_tokens = 0;
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
  best.activation_bytes = trainer.activations().high_water_bytes();
  best.micro_tokens = trainer.micro_rows() * config.model.context;
  return best;
}

struct Bench {
  Machine machine;
  std::string precision;
  double peak = 0;
};

RunConfig config_of(const Bench& b, std::int64_t width, std::int64_t T, const char* full_layers) {
  RunConfig c;
  c.train.precision = b.precision;
  c.model.layers = 6;
  c.model.width = width;
  c.model.heads = width / 64;
  c.model.context = T;
  c.model.vocab = 4096;
  c.model.span = "sliding:128";
  c.model.full_layers = full_layers;
  c.train.batch_tokens = std::max<std::int64_t>(8192, T);
  return c;
}

void print(const std::string& what, std::int64_t T, const Timing& t, double peak) {
  fmt::print("{:<28} {:>6} {:>9.1f} {:>9.2f} {:>8.1f} {:>9.1f} % {:>10.1f}\n", what, T,
             t.seconds * 1e3, t.seconds * 1e6 / static_cast<double>(t.tokens),
             t.flops / t.seconds / 1e9, 100 * t.flops / t.seconds / peak,
             static_cast<double>(t.activation_bytes) / 1024 / static_cast<double>(t.micro_tokens));
}

void verdict(const std::string& what, double got, double wanted, bool pass) {
  fmt::print("  {}: {:.3f}, wanted {}: {}\n", what, got, wanted, pass ? "PASS" : "FAIL");
}

void bench_share_of_peak(Bench& b) {
  for (const auto& [width, wanted] : {std::pair<std::int64_t, double>{384, 0.6}, {768, 0.7}}) {
    for (const char* full : {"all", "bottom:2", "none"}) {
      const Timing t = time_steps(b.machine, config_of(b, width, 1024, full), 5);
      print(fmt::format("width {}, full layers {}", width, full), 1024, t, b.peak);
      const double share = t.flops / t.seconds / b.peak;
      verdict("share of the peak, at least", share, wanted, share >= wanted);
    }
  }
}

void bench_long_texts(Bench& b) {
  Timing first, last;
  for (const std::int64_t T : {1024, 4096, 16384, 65536}) {
    last = time_steps(b.machine, config_of(b, 384, T, "none"), T > 16384 ? 3 : 7);
    print("width 384, all sliding:128", T, last, b.peak);
    if (T == 1024) first = last;
  }
  const auto per_token = [](double total, std::int64_t tokens) {
    return total / static_cast<double>(tokens);
  };
  const double time = per_token(last.seconds, last.tokens) / per_token(first.seconds, first.tokens);
  verdict("time per token, T = 64k over T = 1k, below", time, 1.1, time < 1.1);
  const double memory = per_token(static_cast<double>(last.activation_bytes), last.micro_tokens) /
                        per_token(static_cast<double>(first.activation_bytes), first.micro_tokens);
  verdict("activations per token, T = 64k over T = 1k, below", memory, 1.1, memory < 1.1);
}

int run(const std::string& precision) {
  Bench b{.machine = Machine(), .precision = precision};
  Exec ex = b.machine.exec();
  if (precision == "bf16") ex.precision = Precision::bf16;
  b.peak = measure_sgemm_peak(ex);
  fmt::print("peak of products of {} {:.1f} GFLOP/s, {} threads\n", precision, b.peak / 1e9,
             ex.threads.size());
  fmt::print("{:<28} {:>6} {:>9} {:>9} {:>8} {:>11} {:>10}\n", "model of 6 layers", "T", "step ms",
             "us/token", "GFLOP/s", "of peak", "KiB/token");
  bench_share_of_peak(b);
  bench_long_texts(b);
  return 0;
}

}  // namespace
}  // namespace mixspan

int main(int argc, char** argv) { return mixspan::run(argc > 1 ? argv[1] : "fp32"); }
