#include "tests/experiments/report_runs.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/run/metrics.h"
#include "layers/model_config.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

namespace fs = std::filesystem;

double noise(const std::string& key) {
  std::uint64_t h = 1469598103934665603U;  // FNV-1a
  for (const char c : key) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211U;
  h ^= h >> 31U;
  h *= 0x9E3779B97F4A7C15U;
  return static_cast<double>(h >> 11U) * 0x1p-53;
}

RunConfig report_config(const std::string& full_layers, std::int64_t seed) {
  RunConfig c;
  c.model.layers = 6;
  c.model.width = 64;
  c.model.heads = 2;
  c.model.context = 256;
  c.model.vocab = 45;
  c.model.span = "sliding:16";
  c.model.full_layers = full_layers;
  c.data.train = "synthetic:recall";
  c.train.steps = 200;
  c.train.batch_tokens = 2048;
  c.train.seed = seed;
  return c;
}

void write_run(const fs::path& folder, const FakeRun& run) {
  fs::create_directories(folder);
  const RunConfig& c = run.config;
  const std::string config = to_toml(c);
  write_file(folder / "config.toml", config);
  const bool done = run.state == RunState::done;
  const std::int64_t last = done ? c.train.steps : c.train.steps / 2;
  const std::int64_t every = std::max<std::int64_t>(1, c.train.steps / run.records);
  std::string metrics;
  for (std::int64_t step = every; step <= last; step += every) {
    const double share = static_cast<double>(step) / static_cast<double>(c.train.steps);
    const double jitter = noise(fmt::format("{}{}", config, step)) - 0.5;
    TrainMetrics m;
    m.step = step;
    m.tokens = step * c.train.batch_tokens;
    m.loss = run.loss + 4 * std::exp(-9 * share) + 0.12 * jitter;
    m.grad_norm = 1;
    m.lr = 1e-3;
    m.step_ms = 40 * (1 + 0.1 * jitter) * static_cast<double>(c.model.context) / 256;
    m.tokens_per_s = 1000 * static_cast<double>(c.train.batch_tokens) / m.step_ms;
    m.memory_bytes = (std::int64_t{200} << 20) + c.model.context * 65536;
    metrics += to_json(m) + "\n";
    if (step != last && step != c.train.steps / 2) continue;
    EvalMetrics e;
    e.step = step;
    e.tokens = m.tokens;
    e.data = "held out";
    e.context = c.model.context;
    e.targets = 4096;
    e.loss = run.loss + (step == c.train.steps ? 0 : 0.3);
    e.bits_per_byte = e.loss / std::log(2.0) / 4;
    e.accuracy = std::exp(-e.loss);
    for (int part = 0; part < 8; ++part) {
      e.by_position.push_back({part * c.model.context / 8, (part + 1) * c.model.context / 8, 512,
                               e.loss + 0.4 * std::exp(-part) - 0.05});
    }
    metrics += to_json(e) + "\n";
  }
  write_file(folder / "metrics.jsonl", metrics);
  RunStatus status;
  status.state = run.state;
  status.step = last;
  status.steps = c.train.steps;
  status.heartbeat = 1790000000;
  status.host = "n1";
  status.job_id = run.job_id;
  status.last_error = run.error;
  write_status(folder, status);
  write_file(folder / "log.txt",
             "2026-09-21T14:13:20Z ==== start 1 on n1, process 5, job 17_3, 0.1.0 (abc) ====\n");
  if (done) write_file(folder / "result.json", R"x({"steps":1,"build":"0.1.0 (abc)"})x");
}

void write_sweep(const fs::path& out, std::int64_t seeds) {
  fs::create_directories(out / "configs");
  const auto name_of = [](const RunConfig& c) {
    std::string name = fmt::format("full_layers={},span={},seed={}", c.model.full_layers,
                                   c.model.span, c.train.seed);
    for (char& ch : name) ch = ch == ':' ? '-' : ch;
    return name;
  };
  for (const char* placement : {"none", "all", "bottom:1", "middle:1", "top:1", "bottom:2", "0,5",
                                "spaced:3", "1,2,3,4,5"}) {
    for (const char* span : {"sliding:16", "block:32"}) {
      for (std::int64_t seed = 1; seed <= seeds; ++seed) {
        FakeRun run{.config = report_config(placement, seed)};
        run.config.model.span = span;
        run.loss = 3.2;
        for (const std::int64_t l : parse_placement(placement, 6)) {
          run.loss -= 0.12 / static_cast<double>(l + 2);
        }
        if (run.config.model.span == "block:32") run.loss += 0.03;
        const std::string name = name_of(run.config);
        run.loss += 0.02 * noise(std::to_string(seed)) + 0.01 * noise(name);
        write_file(out / "configs" / (name + ".toml"), to_toml(run.config));
        if (name == "full_layers=top-1,span=block-32,seed=2") {
          run.state = RunState::failed;
          run.error = "step 100: the loss is not finite <b>&";
        }
        if (name == "full_layers=top-1,span=block-32,seed=3") run.state = RunState::running;
        if (name == "full_layers=0,5,span=block-32,seed=3") continue;
        write_run(out / "runs" / name, run);
      }
    }
  }
}

}  // namespace mixspan::test
