// Attention on a device by span, length and kernel: useful TFLOP/s (visible pairs alone; 4 d for
// each forward, 10 d backward), their share of the datasheet's peak, and how much faster than full
// attention.
//   bench_cuda_attention [KERNEL...]   naive, mma, wgmma (backward split) and fused (the same
//                                      forward); without any: all but naive
#include <fmt/core.h>

#include <map>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/span.h"
#include "tests/bench/cuda/device_bench.h"

namespace {

using namespace mixspan;

constexpr std::int64_t kWidth = 2048;  // N * H: 16 heads of 128, 32 of 64

struct Kernel {
  AttentionKernel kernel;
  AttentionBackward backward = AttentionBackward::automatic;
};
const std::map<std::string, Kernel> kKernels = {
    {"naive", {AttentionKernel::naive}},
    {"mma", {AttentionKernel::mma}},
    {"wgmma", {AttentionKernel::wgmma, AttentionBackward::split}},
    {"fused", {AttentionKernel::wgmma, AttentionBackward::fused}}};

struct Span {
  std::string name;
  AnySpan span;
};
const std::vector<Span> kSpans = {{"full", FullSpan{}},
                                  {"sliding:256", SlidingSpan{256}},
                                  {"sliding:512", SlidingSpan{512}},
                                  {"sliding:1024", SlidingSpan{1024}}};

double pairs_of(const AnySpan& span, std::int64_t T) {
  double pairs = 0;
  for (std::int64_t i = 0; i < T; ++i) pairs += static_cast<double>(i - span.lo(i) + 1);
  return pairs;
}

struct Times {
  double forward, backward;
};

Times measure(bench::DeviceBench& b, Kernel kernel, std::int64_t T, std::int64_t H,
              const AnySpan& span) {
  Exec ex = b.exec();
  ex.attention = kernel.kernel;
  ex.attention_backward = kernel.backward;
  const std::int64_t N = kWidth / H;
  // As a layer hands them over: parts of one product, seen by head.
  Tensor qkv = b.random({1, T, 3 * kWidth}, DType::bf16);
  Tensor dqkv = b.empty({1, T, 3 * kWidth}, DType::bf16);
  Tensor o = b.empty({1, T, kWidth}, DType::bf16), lse = b.empty({1, N, T}, DType::f32);
  Tensor do_ = b.random({1, T, kWidth}, DType::bf16);
  const auto part = [&](Tensor& t, std::int64_t i) {
    return t.view().slice(2, i * kWidth, (i + 1) * kWidth).split(2, N, H);
  };
  const View q = part(qkv, 0), k = part(qkv, 1), v = part(qkv, 2);
  const View dq = part(dqkv, 0), dk = part(dqkv, 1), dv = part(dqkv, 2);
  const View heads_o = o.view().split(2, N, H), heads_do = do_.view().split(2, N, H);
  AttentionRule rule;
  rule.span = span;
  rule.scale = H == 64 ? 0.125f : 0.08838835f;
  Times t{};
  const auto forward = [&] { attention_forward(ex, heads_o, lse, q, k, v, rule); };
  if (kernel.backward == AttentionBackward::fused) {
    forward();  // measured as wgmma's
  } else {
    t.forward = b.median_ms(forward);
  }
  t.backward = b.median_ms(
      [&] { attention_backward(ex, dq, dk, dv, heads_do, q, k, v, heads_o, lse, rule); });
  return t;
}

void row(bench::DeviceBench& b, const std::string& kernel, std::int64_t T, std::int64_t H,
         const Span& span, Times& full) {
  Times t{};
  try {
    t = measure(b, kKernels.at(kernel), T, H, span.span);
  } catch (const InputError& e) {
    fmt::print("{:<6} {:>4} {:>6} {:<13} {}\n", kernel, H, T, span.name, e.what());
    return;
  }
  if (span.span.is_full()) full = t;
  const double products = pairs_of(span.span, T) * kWidth;
  const double peak = b.peak().bf16_flops / 1e12;
  const auto columns = [&](double ms, double of_full, double flops_of_product) {
    if (ms == 0) return fmt::format("{:>9} {:>7} {:>6} {:>7}", "-", "-", "-", "-");
    const double rate = flops_of_product * products / ms / 1e9;
    const std::string faster = of_full == 0 ? "-" : fmt::format("{:.2f}x", of_full / ms);
    return fmt::format("{:>9.4f} {:>7.1f} {:>6} {:>7}", ms, rate, bench::percent(rate, peak),
                       faster);
  };
  fmt::print("{:<6} {:>4} {:>6} {:<13} {} {}\n", kernel, H, T, span.name,
             columns(t.forward, full.forward, 4), columns(t.backward, full.backward, 10));
  std::fflush(stdout);  // a run that is cut off has told what it measured
}

void run(std::vector<std::string> kernels) {
  if (kernels.empty()) kernels = {"mma", "wgmma", "fused"};
  for (const std::string& kernel : kernels) {
    require(kKernels.contains(kernel), "no kernel {}: naive, mma, wgmma and fused are there",
            kernel);
  }
  bench::DeviceBench b;
  fmt::print("{:<6} {:>4} {:>6} {:<13} {:>9} {:>7} {:>6} {:>7} {:>9} {:>7} {:>6} {:>7}\n", "kernel",
             "d", "T", "span", "fwd ms", "TFLOP/s", "peak", "faster", "bwd ms", "TFLOP/s", "peak",
             "faster");
  // The lengths that decide first.
  for (const std::int64_t H : {128, 64}) {
    for (const std::int64_t T : {8192, 2048, 4096, 16384, 32768}) {
      for (const std::string& kernel : kernels) {
        if (kernel == "naive" && T > 4096) continue;  // seconds for each run
        Times full{};
        for (const Span& span : kSpans) row(b, kernel, T, H, span, full);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return mixspan::bench::run_bench("bench_cuda_attention",
                                   [&] { run(std::vector<std::string>(argv + 1, argv + argc)); });
}
