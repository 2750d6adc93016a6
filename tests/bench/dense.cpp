// The dense operations at the shapes of a width-384, 6-layer, T=1024 model (batch 8, V=4096), as a
// share of what the machine can do, measured in the same run: matrix products against a large
// square product, memory-bound operations against a triad. Prints PASS or FAIL for the matrix
// products of a whole training step (85 % of peak is wanted). Every figure is the best of several
// interleaved rounds, because other work on the machine only ever slows a run down.
#include <fmt/core.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/bf16_tiles.h"
#include "kernels/chunks.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gelu.h"
#include "kernels/layer_norm.h"
#include "kernels/matmul.h"
#include "kernels/peak.h"
#include "kernels/reduce.h"

namespace {

using namespace mixspan;

constexpr std::int64_t kRows = 8 * 1024, kC = 384, kF = 4 * kC, kV = 4096, kLayers = 6;
constexpr std::int64_t kHeadRows = 1024;  // the head walks chunks of rows
constexpr int kRounds = 15;
constexpr double kWanted = 0.85;

struct Case {
  std::string name;
  double work;    // FLOP or bytes
  double weight;  // calls in a step
  std::function<void()> run;
  double seconds = 1e30;
};

// Seconds on a clock that fits: with one thread its processor time, which other work on the machine
// does not lengthen; with more, wall time.
double now(const Exec& exec) {
  timespec t{};
  clock_gettime(exec.threads.size() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void measure(const Exec& exec, std::vector<Case>& cases) {
  for (int round = 0; round <= kRounds; ++round) {
    for (Case& c : cases) {
      const double before = now(exec);
      c.run();
      if (round > 0) c.seconds = std::min(c.seconds, now(exec) - before);
    }
  }
}

// Numbers in [-scale, scale) that are neither zero nor regular: zeros would draw less power.
Tensor random(Shape shape, double scale) {
  Tensor t(shape);
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < t.size(); ++i) {
    state = state * 1664525u + 1013904223u;
    t.data<float>()[i] =
        static_cast<float>(scale * (static_cast<double>(state) / 2147483648.0 - 1));
  }
  return t;
}

// FLOP/s of the sums of one tile after the other, operands in the first-level cache: what products
// of bf16 would reach if nothing had to be packed, read or written.
double tile_rate(const Exec& exec) {
  constexpr std::int64_t kPairs = 128, kTiles = 2000;
  const bf16_product::Kernels& kernels = bf16_product::kernels(exec.isa);
  const std::vector<std::uint32_t> a(kPairs * bf16_product::kTileRows, 0x3c103c00);
  const std::vector<std::uint32_t> b(kPairs * bf16_product::kTileCols, 0x3c203c10);
  std::vector<Case> cases(1);
  cases[0].run = [&] {
    exec.threads.for_each(exec.threads.size(), [&](std::int64_t, int) {
      float c[bf16_product::kTileRows * bf16_product::kTileCols];
      for (std::int64_t i = 0; i < kTiles; ++i) {
        kernels.tile({a.data(), b.data(), kPairs, bf16_product::kTileRows, bf16_product::kTileCols,
                      c, bf16_product::kTileCols, nullptr, 0, nullptr});
      }
    });
  };
  measure(exec, cases);
  const double work = 4.0 * kPairs * kTiles * bf16_product::kTileRows * bf16_product::kTileCols;
  return work * exec.threads.size() / cases[0].seconds;
}

struct Matrices {
  Tensor x = random({kRows, kF}, 1), w = random({kF * kV}, 0.02), y{{kRows, kF}};
  Tensor dy = random({kRows, kF}, 1), pre{{kRows, kF}}, dx{{kRows, kF}}, dw{{kF * kV}};
  Tensor bias = random({kV}, 1), dbias{{kV}};
};

View part(Tensor& t, std::int64_t n) { return t.view().reshape({t.size()}).slice(0, 0, n); }
View part(Tensor& t, std::int64_t rows, std::int64_t cols) {
  return part(t, rows * cols).reshape({rows, cols});
}

// Forward and backward of one linear layer (rows, C) -> (rows, F), called `weight` times in a step.
void add_linear(std::vector<Case>& cases, const Exec& exec, Matrices& m, const std::string& name,
                std::int64_t rows, std::int64_t C, std::int64_t F, double weight) {
  const double flops = 2.0 * static_cast<double>(rows * C * F);
  const View x = part(m.x, rows, C), w = part(m.w, F, C), y = part(m.y, rows, F);
  const View dy = part(m.dy, rows, F), dx = part(m.dx, rows, C), dw = part(m.dw, F, C);
  const View pre = part(m.pre, rows, F), bias = part(m.bias, F), dbias = part(m.dbias, F);
  const std::string shape = fmt::format("{} ({}, {}) -> {}", name, rows, C, F);
  cases.push_back({shape + " forward", flops, weight, [=, &exec] {
                     if (name == "fc") {
                       linear_gelu_forward(exec, y, pre, x, w, bias);
                     } else if (name == "proj" || name == "fc_proj") {
                       linear_residual_forward(exec, y, x, w, bias, dy);
                     } else {
                       linear_forward(exec, y, x, w, {});
                     }
                   }});
  const bool has_bias = name != "qkv" && name != "head";
  cases.push_back({shape + " backward", 2 * flops, weight, [=, &exec] {
                     linear_backward(exec, dx, dw, has_bias ? dbias : View(), dy, x, w);
                   }});
}

std::vector<Case> matmul_cases(const Exec& exec, Matrices& m) {
  std::vector<Case> cases;
  add_linear(cases, exec, m, "qkv", kRows, kC, 3 * kC, kLayers);
  add_linear(cases, exec, m, "proj", kRows, kC, kC, kLayers);
  add_linear(cases, exec, m, "fc", kRows, kC, kF, kLayers);
  add_linear(cases, exec, m, "fc_proj", kRows, kF, kC, kLayers);
  add_linear(cases, exec, m, "head", kHeadRows, kC, kV, static_cast<double>(kRows / kHeadRows));
  return cases;
}

// Returns the share of the peak that the matrix products of a whole step reach.
double report_matmuls(const Exec& exec, Matrices& m) {
  std::vector<Case> cases = matmul_cases(exec, m);
  constexpr std::int64_t n = 2048;
  const View a = part(m.x, n, n), b = part(m.dy, n, n), c = part(m.pre, n, n);
  cases.push_back({"square (2048, 2048, 2048)", 2.0 * n * n * n, 0,
                   [=, &exec] { matmul(exec, c, Transpose::no, a, Transpose::no, b); }});
  measure(exec, cases);
  const double square = cases.back().work / cases.back().seconds;
  const double measured = measure_sgemm_peak(exec), peak = std::max(square, measured);
  fmt::print(
      "peak of large products {:.1f} GFLOP/s on {} threads (measure_sgemm_peak says {:.1f})\n\n",
      peak / 1e9, exec.threads.size(), measured / 1e9);
  if (exec.precision == Precision::bf16) {
    const double tile = tile_rate(exec);
    fmt::print("tiles alone {:.1f} GFLOP/s, so large products are at {:.1f} %\n\n", tile / 1e9,
               100 * peak / tile);
  }
  fmt::print("{:<44} {:>9} {:>8} {:>7}\n", "matrix product", "GFLOP/s", "ms", "% peak");
  double work = 0, seconds = 0;
  for (const Case& k : cases) {
    fmt::print("{:<44} {:>9.1f} {:>8.2f} {:>6.1f}%\n", k.name, k.work / k.seconds / 1e9,
               k.seconds * 1e3, 100 * k.work / k.seconds / peak);
    work += k.work * k.weight;
    seconds += k.seconds * k.weight;
  }
  const double share = work / seconds / peak;
  fmt::print("{:<44} {:>9.1f} {:>8.1f} {:>6.1f}%\n\n", "all of a step, epilogues included",
             work / seconds / 1e9, seconds * 1e3, 100 * share);
  return share;
}

// Bytes are those that cross the memory bus: a store to a line that is not in cache reads it first.
std::vector<Case> memory_cases(const Exec& exec, Matrices& m) {
  constexpr std::int64_t big = kRows * kF;
  std::vector<Case> cases;
  const auto add = [&](std::string name, std::int64_t floats, std::function<void()> run) {
    cases.push_back({std::move(name), 4.0 * static_cast<double>(floats), 1, std::move(run)});
  };
  const View x = part(m.x, big), y = part(m.y, big), dy = part(m.dy, big), pre = part(m.pre, big);
  add("triad y = a + s b", 4 * big, [=, &exec] {
    float* out = y.data<float>();
    const float *a = x.data<float>(), *b = dy.data<float>();
    for_each_chunk(exec.threads, big, kChunk, [=](std::int64_t begin, std::int64_t end, auto) {
      for (std::int64_t i = begin; i < end; ++i) out[i] = a[i] + 3.0f * b[i];
    });
  });
  add("gelu forward", 3 * big, [=, &exec] { gelu_forward(exec, y, x); });
  add("gelu backward", 4 * big, [=, &exec] { gelu_backward(exec, y, dy, x); });
  const View xc = part(m.x, kRows, kC), yc = part(m.y, kRows, kC), dyc = part(m.dy, kRows, kC);
  const View mean = part(m.pre, kRows), rstd = part(m.dx, kRows);
  const View gain = part(m.bias, kC), dgain = part(m.dbias, kC);
  add("layer norm forward", 3 * kRows * kC,
      [=, &exec] { layer_norm_forward(exec, yc, mean, rstd, xc, gain, gain, 1e-5f); });
  add("layer norm backward, added", 4 * kRows * kC, [=, &exec] {
    layer_norm_backward(exec, yc, dgain, dgain, dyc, xc, gain, mean, rstd, DxMode::add);
  });
  add("add into", 3 * big, [=, &exec] { add_into(exec, y, x); });
  add("sum of squares", big, [=, &exec] { sum_of_squares(exec, x); });
  add("first nonfinite", big, [=, &exec] { first_nonfinite(exec, x); });
  const View v = part(m.dx, big);
  add("adamw", 7 * big, [=, &exec] {
    adamw(exec, y, pre, v, dy, {1e-4, 0.9, 0.95, 1e-8, 0.1, 10});
  });
  return cases;
}

std::vector<Case> table_cases(const Exec& exec, Matrices& m, Tensor& indices, Tensor& losses) {
  std::vector<Case> cases;
  const ConstView tokens = indices;
  const View logits = part(m.y, kHeadRows, kV), out = losses;
  const ConstView targets = tokens.slice(0, 0, kHeadRows);
  // Logits come fresh from a product, so they are copied in; the copy is part of the time.
  const View fresh = part(m.x, kHeadRows, kV);
  cases.push_back({"cross entropy forward and backward", 12.0 * kHeadRows * kV, 1, [=, &exec] {
                     std::copy_n(fresh.data<float>(), fresh.size(), logits.data<float>());
                     cross_entropy_forward_backward(exec, out, logits, targets, 1e-3f);
                   }});
  const View wte = part(m.w, kV, kC), dwte = part(m.dw, kV, kC), x = part(m.pre, kRows, kC);
  cases.push_back({"embedding forward", 12.0 * kRows * kC, 1,
                   [=, &exec] { embedding_forward(exec, x, tokens, tokens, wte, wte); }});
  cases.push_back({"embedding backward", 20.0 * kRows * kC, 1,
                   [=, &exec] { embedding_backward(exec, dwte, dwte, x, tokens, tokens); }});
  return cases;
}

void report_memory(const Exec& exec, std::vector<Case> cases, double* triad) {
  measure(exec, cases);
  for (const Case& c : cases) {
    const double rate = c.work / c.seconds / 1e9;
    if (*triad == 0) *triad = rate;
    fmt::print("{:<44} {:>9.1f} {:>8.2f} {:>6.1f}%\n", c.name, rate, c.seconds * 1e3,
               100 * rate / *triad);
  }
}

}  // namespace

// bench_dense [THREADS] [bf16]
int main(int argc, char** argv) {
  flush_denormals();
  ThreadPool threads(argc > 1 ? std::atoi(argv[1]) : 0);
  Arena scratch("bench scratch");
  const bool in_bf16 = argc > 2 && argv[2] == std::string("bf16");
  const Exec exec{.device = {},
                  .threads = threads,
                  .scratch = scratch,
                  .precision = in_bf16 ? Precision::bf16 : Precision::fp32};
  fmt::print("{}, {} threads, {}, {}\n", cpu_name(), threads.size(), name_of(exec.isa),
             in_bf16 ? "bf16" : "fp32");
  Matrices m;
  const double share = report_matmuls(exec, m);

  Tensor tokens({kRows}, DType::i32), losses({kHeadRows});
  const Tensor draws = random({kRows}, kV);
  for (std::int64_t i = 0; i < kRows; ++i) {
    tokens.data<std::int32_t>()[i] = static_cast<std::int32_t>(std::abs(draws.data<float>()[i]));
  }
  fmt::print("{:<44} {:>9} {:>8} {:>7}\n", "memory-bound operation", "GB/s", "ms", "% triad");
  double triad = 0;
  report_memory(exec, memory_cases(exec, m), &triad);
  report_memory(exec, table_cases(exec, m, tokens, losses), &triad);
  fmt::print("\n{}: matrix products at {:.1f} % of the measured peak, {:.0f} % wanted\n",
             share >= kWanted ? "PASS" : "FAIL", 100 * share, 100 * kWanted);
  return share >= kWanted ? 0 : 1;
}
