#include "kernels/peak.h"

#include <algorithm>
#include <chrono>

#include "core/copy.h"
#include "kernels/attention.h"
#include "kernels/cast.h"
#include "kernels/matmul.h"

namespace mixspan {

namespace {

// Zeros would draw less power and run faster.
void fill(View x) {
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.data<float>()[i] = static_cast<float>(i % 1013) * 1e-3f - 0.5f;
  }
}

// Units a second, in the best of several runs of body(), which does `units`.
template <class Body>
double best_rate(double units, Body&& body) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::duration<double> kEnough{0.25};
  const auto start = Clock::now();
  double best = 0;
  for (int run = 0; run < 3 || Clock::now() - start < kEnough; ++run) {
    const auto before = Clock::now();
    body();
    const std::chrono::duration<double> seconds = Clock::now() - before;
    best = std::max(best, units / seconds.count());
  }
  return best;
}

}  // namespace

double measure_sgemm_peak(const Exec& exec) {
  constexpr std::int64_t n = 1536;
  const Arena::Scope scope = exec.scratch.scope();
  const View a = exec.scratch.allocate("sgemm peak", {n, n});
  const View b = exec.scratch.allocate("sgemm peak", {n, n});
  const View c = exec.scratch.allocate("sgemm peak", {n, n});
  fill(a);
  fill(b);
  return best_rate(2.0 * n * n * n, [&] { matmul(exec, c, Transpose::no, a, Transpose::no, b); });
}

double measure_gemm_peak(const Exec& exec) {
  if (!exec.device.is_cuda()) return measure_sgemm_peak(exec);
  constexpr std::int64_t n = 8192;
  constexpr int kAtATime = 4;  // so that the host's wait does not count
  const Arena::Scope scope = exec.scratch.scope();
  Tensor numbers({n, n});
  fill(numbers);
  const View exact = exec.scratch.allocate("gemm peak", {n, n});
  copy(exec, exact, numbers);
  View operands[3];
  for (View& x : operands) x = exec.scratch.allocate("gemm peak", {n, n}, storage_dtype(exec));
  for (int i = 0; i < 2; ++i) {
    if (storage_dtype(exec) == DType::f32) {
      copy(exec, operands[i], exact);
    } else {
      cast(exec, operands[i], exact);
    }
  }
  const auto products = [&] {
    for (int i = 0; i < kAtATime; ++i) {
      matmul(exec, operands[2], Transpose::no, operands[0], Transpose::yes, operands[1]);
    }
    synchronise(exec.stream);
  };
  products();
  return best_rate(2.0 * kAtATime * n * n * n, products);
}

double measure_attention_rate(const Exec& exec) {
  constexpr std::int64_t T = 1024, N = 8, H = 64;
  const Arena::Scope scope = exec.scratch.scope();
  const View qkv = exec.scratch.allocate("attention rate", {3, T, N, H});
  const View o = exec.scratch.allocate("attention rate", {1, T, N, H});
  const View lse = exec.scratch.allocate("attention rate", {1, N, T});
  fill(qkv);
  const AttentionRule rule{FullSpan{}, 0.125f, {}};
  const double flops = 4.0 * N * H * static_cast<double>(rule.span.pairs(T));
  return best_rate(flops, [&] {
    attention_forward(exec, o, lse, qkv.slice(0, 0, 1), qkv.slice(0, 1, 2), qkv.slice(0, 2, 3),
                      rule);
  });
}

namespace {
double device_copy_rate(const Exec& exec) {
  constexpr std::int64_t kFloats = std::int64_t{64} << 20;  // four times what caches hold
  constexpr int kAtATime = 4;  // so that the host's wait does not count
  const View from = exec.scratch.allocate("copy rate", {kFloats});
  const View to = exec.scratch.allocate("copy rate", from.shape());
  fill_zero(exec, from);
  return best_rate(kAtATime * static_cast<double>(from.size_bytes()), [&] {
    for (int i = 0; i < kAtATime; ++i) copy(exec, to, from);
    synchronise(exec.stream);
  });
}
}  // namespace

double measure_copy_rate(const Exec& exec) {
  constexpr std::int64_t kFloats = std::int64_t{16} << 20, kPieces = 64;
  const Arena::Scope scope = exec.scratch.scope();
  if (exec.device.is_cuda()) return device_copy_rate(exec);
  const View from = exec.scratch.allocate("copy rate", {kPieces, kFloats / kPieces});
  const View to = exec.scratch.allocate("copy rate", from.shape());
  fill(from);
  return best_rate(static_cast<double>(from.size_bytes()), [&] {
    exec.threads.for_each(kPieces, [&](std::int64_t piece, int) {
      const std::int64_t begin = piece * (kFloats / kPieces);
      std::copy_n(from.data<float>() + begin, kFloats / kPieces, to.data<float>() + begin);
    });
  });
}

}  // namespace mixspan
