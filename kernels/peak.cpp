#include "kernels/peak.h"

#include <algorithm>
#include <chrono>

#include "kernels/matmul.h"

namespace mixspan {

double measure_sgemm_peak(const Exec& exec) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t n = 1536;
  constexpr double flops = 2.0 * n * n * n;
  constexpr std::chrono::duration<double> kEnough{0.25};
  const Arena::Scope scope = exec.scratch.scope();
  const View a = exec.scratch.allocate("sgemm peak", {n, n});
  const View b = exec.scratch.allocate("sgemm peak", {n, n});
  const View c = exec.scratch.allocate("sgemm peak", {n, n});
  for (std::int64_t i = 0; i < n * n; ++i) {  // zeros would draw less power and run faster
    a.data<float>()[i] = static_cast<float>(i % 1013) * 1e-3f - 0.5f;
    b.data<float>()[i] = static_cast<float>(i % 997) * 1e-3f - 0.5f;
  }
  const auto start = Clock::now();
  double best = 0;
  for (int run = 0; run < 3 || Clock::now() - start < kEnough; ++run) {
    const auto before = Clock::now();
    matmul(exec, c, Transpose::no, a, Transpose::no, b);
    const std::chrono::duration<double> seconds = Clock::now() - before;
    best = std::max(best, flops / seconds.count());
  }
  return best;
}

}  // namespace mixspan
