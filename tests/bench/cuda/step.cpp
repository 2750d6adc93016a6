// The training step of the 1.3B mixed model (GPT-Neo 1.3B's shape, 4 full layers and 20
// sliding:512) on a device: time, tokens/s, MFU, and its memory beside what `mixspan plan`
// predicts.
//   bench_cuda_step [T...]     8192, with each way that there is to compute it; 32768; 131072
//   bench_cuda_step turns T    one step for each line of its input, for gpu_peers.py
// MFU: what the mathematics of the step needs (experiments/cost/flops.h) over the datasheet's peak.
// Lengths whose memory is not there are said to be left out.
#include <fmt/core.h>

#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/attention_choice.h"
#include "kernels/peak.h"
#include "tests/bench/cuda/device_bench.h"
#include "tests/bench/cuda/training_step.h"

namespace {

using namespace mixspan;

constexpr Device kDevice{DeviceKind::cuda, 0};

/// A way to compute the same step.
struct Way {
  std::string name;
  AttentionKernel attention = AttentionKernel::automatic;
  cuda::LibraryOptions libraries;
  AttentionBackward backward = AttentionBackward::automatic;
};

cuda::LibraryOptions tuned(bool fused) {
  cuda::LibraryOptions options;
  options.tune = true;
  options.fuse_gelu = options.fuse_bias_gradient = fused;
  return options;
}

/// What is asked first is what matters first, since the run may be cut off.
std::vector<Way> ways_of(std::int64_t T) {
  std::vector<Way> ways = {{"tuned products", AttentionKernel::automatic, tuned(false)}};
  ways.push_back({"tuned, fused backward", AttentionKernel::automatic, tuned(false),
                  AttentionBackward::fused});
  if (T != 8192) return ways;
  ways.push_back({"tuned, fused epilogues", AttentionKernel::automatic, tuned(true)});
  ways.push_back({"first suggestions", AttentionKernel::automatic, {}});
  ways.push_back({"tuned, attention mma", AttentionKernel::mma, tuned(false)});
  return ways;
}

/// Each with memory of its own: what one has freed the next may take.
struct Setup {
  explicit Setup(const Way& way) : stream(kDevice), libraries(kDevice, way.libraries) {
    exec.attention = way.attention;
    exec.attention_backward = way.backward;
  }
  OwnedStream stream;
  ThreadPool pool{0};
  cuda::Libraries libraries;
  Arena scratch{"scratch", kDevice};
  Exec exec{.device = kDevice,
            .stream = stream,
            .threads = pool,
            .libraries = &libraries,
            .scratch = scratch,
            .precision = Precision::bf16};
};

/// Nine tenths of what is free: a plan is a prediction.
std::int64_t room() { return static_cast<std::int64_t>(memory_of(kDevice).free_bytes / 10 * 9); }

RunConfig fitting(std::int64_t T, AttentionBackward backward = AttentionBackward::automatic) {
  RunConfig config = bench::step_of_1b3(T);
  config.kernels.attention_backward = cuda::name_of(backward);
  config.model.recompute = bench::recompute_that_fits(config, room());
  return config;
}

void measure(std::int64_t T, double peak) {
  for (const Way& way : ways_of(T)) {
    try {
      const RunConfig config = fitting(T, way.backward);
      Setup setup(way);
      bench::TrainingStep step(setup.exec, config);
      const double seconds = step.median_seconds(T <= 8192 ? 10 : 3, 3);
      bench::print_step(stdout, way.name, step, seconds, peak);
    } catch (const std::exception& e) {  // such as no memory: the others may do
      fmt::print("{}, {} tokens: left out: {}\n", way.name, T, e.what());
      std::fflush(stdout);
    }
  }
}

double announce() {
  const DeviceInfo info = describe(kDevice);
  const double peak = bench::peak_of(info.name).bf16_flops;
  Setup setup({"peak", AttentionKernel::automatic, tuned(false)});
  fmt::print("# {}, {:.0f} TFLOP/s bf16 by its datasheet (0: not known), {:.0f} measured\n",
             info.name, peak / 1e12, measure_gemm_peak(setup.exec) / 1e12);
  return peak;
}

void run(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[0] == "turns") {
    const std::int64_t T = std::stoll(words[1]);
    Setup setup({"turns", AttentionKernel::automatic, tuned(false)});
    bench::TrainingStep step(setup.exec, fitting(T));
    return bench::take_turns(step, stdin, stdout);
  }
  std::vector<std::int64_t> lengths;
  for (const std::string& word : words) lengths.push_back(std::stoll(word));
  if (lengths.empty()) lengths = {8192, 32768, 131072};
  const double peak = announce();
  bench::print_step_heading(stdout);
  for (const std::int64_t T : lengths) measure(T, peak);
}

}  // namespace

int main(int argc, char** argv) {
  return mixspan::bench::run_bench("bench_cuda_step", [&] { run({argv + 1, argv + argc}); });
}
