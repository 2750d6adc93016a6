// The memory-bound kernels of a device at the sizes of the 1.3B model (8192 tokens, width 2048, MLP
// 8192, vocabulary 50304): GB/s, counting each byte that must be read or written once.
#include <fmt/core.h>

#include <string>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/cuda/linear_rows.h"
#include "kernels/embedding.h"
#include "kernels/gelu.h"
#include "kernels/layer_norm.h"
#include "kernels/reduce.h"
#include "kernels/residual.h"
#include "tests/bench/cuda/device_bench.h"

namespace {

using namespace mixspan;

constexpr std::int64_t kRows = 8192, kC = 2048, kF = 8192, kV = 50304, kHeadRows = 2048;
constexpr std::int64_t kParameters = std::int64_t{256} << 20;

void row(bench::DeviceBench& b, const std::string& name, double bytes,
         const std::function<void()>& run) {
  const double ms = b.median_ms(run), rate = bytes / ms * 1e3;
  fmt::print("{:<34} {:>9.4f} {:>9.0f} {:>7}\n", name, ms, rate / 1e9,
             bench::percent(rate, b.peak().bytes_per_second));
  std::fflush(stdout);
}

Tensor indices(const bench::DeviceBench& b, std::int64_t n, std::int64_t limit) {
  Tensor host({n}, DType::i32), t = b.empty({n}, DType::i32);
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    host.data<std::int32_t>()[i] = static_cast<std::int32_t>((state >> 8) % limit);
  }
  copy(b.exec(), t, host);
  synchronise(b.exec().stream);
  return t;
}

void rows_of_the_model(bench::DeviceBench& b) {
  const Exec& ex = b.exec();
  constexpr double kNarrow = 2.0 * kRows * kC, kWide = 2.0 * kRows * kF;  // bytes of bf16
  Tensor x = b.random({kRows, kC}, DType::bf16), y = b.empty({kRows, kC}, DType::bf16);
  Tensor dy = b.random({kRows, kC}, DType::bf16);
  Tensor gain = b.random({kC}, DType::bf16), bias = b.random({kC}, DType::bf16);
  Tensor mean = b.empty({kRows}, DType::f32), rstd = b.empty({kRows}, DType::f32);
  Tensor dgain = b.random({kC}, DType::f32), dbias = b.random({kC}, DType::f32);
  row(b, "copy", 2 * kNarrow, [&] { copy(ex, y, x); });
  row(b, "layer norm forward", 2 * kNarrow,
      [&] { layer_norm_forward(ex, y, mean, rstd, x, gain, bias, 1e-5f); });
  row(b, "layer norm backward, added", 4 * kNarrow,
      [&] { layer_norm_backward(ex, y, dgain, dbias, dy, x, gain, mean, rstd, DxMode::add); });
  row(b, "bias and residual", 3 * kNarrow, [&] { bias_residual(ex, y, x, bias, dy); });
  row(b, "add into", 3 * kNarrow, [&] { add_into(ex, y, x); });
  Tensor wide = b.random({kRows, kF}, DType::bf16), out = b.random({kRows, kF}, DType::bf16);
  Tensor wide_bias = b.random({kF}, DType::f32);
  row(b, "gelu forward", 2 * kWide, [&] { gelu_forward(ex, out, wide); });
  row(b, "gelu backward", 3 * kWide, [&] { gelu_backward(ex, out, out, wide); });
  row(b, "bias gradient (8192, 8192)", kWide, [&] { cuda::add_column_sums(ex, wide_bias, wide); });
  Tensor wte = b.random({kV, kC}, DType::bf16, 0.02), wpe = b.random({kRows, kC}, DType::bf16);
  Tensor dwte = b.random({kV, kC}, DType::f32), dwpe = b.random({kRows, kC}, DType::f32);
  Tensor tokens = indices(b, kRows, kV), positions = indices(b, kRows, kRows);
  row(b, "embedding forward", 3 * kNarrow,
      [&] { embedding_forward(ex, y, tokens, positions, wte, wpe); });
  // x once, and the two tables' rows in fp32 read and written.
  row(b, "embedding backward", 9 * kNarrow,
      [&] { embedding_backward(ex, dwte, dwpe, x, tokens, positions); });
}

void rows_of_the_head(bench::DeviceBench& b) {
  const Exec& ex = b.exec();
  Tensor logits = b.random({kHeadRows, kV}, DType::bf16, 2), targets = indices(b, kHeadRows, kV);
  Tensor losses = b.empty({kHeadRows}, DType::f32);
  // In place: from the second run on it reads gradients, which cost the same.
  row(b, "cross entropy, forward and backward", 4.0 * kHeadRows * kV,
      [&] { cross_entropy_forward_backward(ex, losses, logits, targets, 1e-3f); });
}

void rows_of_the_optimizer(bench::DeviceBench& b) {
  const Exec& ex = b.exec();
  constexpr double kBytes = 4.0 * kParameters;
  Tensor w = b.random({kParameters}, DType::f32), g = b.random({kParameters}, DType::f32);
  Tensor m({kParameters}, DType::f32, ex.device), v({kParameters}, DType::f32, ex.device);
  row(b, "adamw, f32 (256 Mi parameters)", 7 * kBytes, [&] {
    adamw(ex, w, m, v, g, {1e-4, 0.9, 0.95, 1e-8, 0.1, 10});
  });
  row(b, "sum of squares", kBytes, [&] { sum_of_squares(ex, g); });
  row(b, "first nonfinite", kBytes, [&] { first_nonfinite(ex, g); });
}

}  // namespace

int main() {
  return mixspan::bench::run_bench("bench_cuda_memory", [] {
    bench::DeviceBench b;
    fmt::print("{:<34} {:>9} {:>9} {:>7}\n", "kernel", "ms", "GB/s", "peak");
    rows_of_the_model(b);
    rows_of_the_head(b);
    rows_of_the_optimizer(b);
  });
}
