#include "tests/bench/cuda/training_step.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/error.h"

namespace mixspan::bench {

namespace {

RunConfig on(const Exec& ex, RunConfig config) {
  config.device = ex.device.is_cuda() ? "cuda" : "cpu";
  return config;
}

double gib(std::int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

// "measured/planned" in GiB.
std::string beside(std::int64_t measured, std::int64_t planned) {
  return fmt::format("{:.2f}/{:.2f}", gib(measured), gib(planned));
}

constexpr const char* kRow = "{:<30} {:>7} {:>10} {:>9} {:>9} {:>7} {:>13} {:>13} {:>13}\n";

}  // namespace

RunConfig step_of_1b3(std::int64_t T) {
  RunConfig c;
  c.model.layers = 24;
  c.model.width = 2048;
  c.model.heads = 16;
  c.model.context = T;
  c.model.vocab = 50304;
  c.model.span = "sliding:512";
  c.model.full_layers = "bottom:4";
  c.train.precision = "bf16";
  c.train.batch_tokens = T;
  c.train.micro_rows = 1;
  c.optimizer.lr = 1e-4;
  return c;
}

std::string recompute_that_fits(RunConfig config, std::int64_t bytes) {
  config.device = "cuda";
  for (const char* policy : {"none", "selective", "products"}) {
    config.model.recompute = policy;
    if (plan_of(config).memory.total() <= bytes) return policy;
  }
  return "full";
}

TrainingStep::TrainingStep(const Exec& ex, RunConfig config)
    : exec_(ex),
      config_(on(ex, std::move(config))),
      data_(config_.model.context, config_.model.vocab),
      trainer_(exec_, config_, data_) {}

double TrainingStep::seconds() {
  const auto begin = std::chrono::steady_clock::now();
  report_ = trainer_.step(step_++);
  if (exec_.device.is_cuda()) synchronise(exec_.stream);  // the optimizer may still be at work
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  check(std::isfinite(report_.loss), "step {}: a loss of {}", step_, report_.loss);
  return seconds;
}

double TrainingStep::median_seconds(int repeats, int warmup) {
  for (int i = 0; i < warmup; ++i) seconds();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) times.push_back(seconds());
  const auto middle = times.begin() + repeats / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

std::int64_t TrainingStep::parameters() const { return declared_params(config_.model).count(); }

TrainingStep::Memory TrainingStep::memory() const {
  const RankMemory& plan = trainer_.plan().memory;
  return {.state = static_cast<std::int64_t>(trainer_.state_bytes()),
          .planned_state = plan.weights + plan.gradients + plan.optimizer,
          .activations = static_cast<std::int64_t>(trainer_.activations().high_water_bytes()),
          .planned_activations = plan.activations,
          .scratch = static_cast<std::int64_t>(exec_.scratch.high_water_bytes()),
          .planned_scratch = plan.scratch};
}

void print_step_heading(std::FILE* out) {
  fmt::print(out, kRow, "# GiB: measured/planned", "tokens", "recompute", "ms", "tokens/s", "MFU",
             "state", "activations", "scratch");
  std::fflush(out);
}

void print_step(std::FILE* out, const std::string& name, const TrainingStep& step, double seconds,
                double peak) {
  const TrainingStep::Memory m = step.memory();
  const std::string mfu =
      peak > 0 ? fmt::format("{:.1f}%", 100 * step.flops() / seconds / peak) : "-";
  fmt::print(out, kRow, name, step.tokens(), step.config().model.recompute,
             fmt::format("{:.2f}", 1e3 * seconds),
             fmt::format("{:.0f}", static_cast<double>(step.tokens()) / seconds), mfu,
             beside(m.state, m.planned_state), beside(m.activations, m.planned_activations),
             beside(m.scratch, m.planned_scratch));
  std::fflush(out);
}

void take_turns(TrainingStep& step, std::FILE* in, std::FILE* out) {
  step.seconds();  // takes the memory and chooses algorithms
  fmt::print(out, "ready 1 {}\n", step.parameters());
  std::fflush(out);
  for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) {
    if (c != '\n') continue;
    fmt::print(out, "{}\n", step.seconds());
    std::fflush(out);
  }
  const TrainingStep::Memory m = step.memory();
  fmt::print(out, "peak 0 {}\n", m.state + m.activations + m.scratch);
  std::fflush(out);
}

}  // namespace mixspan::bench
