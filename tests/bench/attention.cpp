// Attention by span: time, share of the processor's peak, cost relative to full, cost per token.
//     bench_attention [threads] [head size] [tokens of heads x sequences: B * N]
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "core/exec.h"
#include "core/rng.h"
#include "kernels/attention.h"

namespace mixspan {
namespace {

template <class Body>
double seconds_of(Body&& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Multiply-adds on registers alone, on every thread: what the processor can do at best, in GFLOP/s.
// A vector of 64 bytes is split or not by the compiler to what the target has, so the number is
// that of the instruction set this function was compiled for.
#if defined(__x86_64__)
__attribute__((target("avx2,fma")))
#endif
double
multiply_adds(std::int64_t rounds) {
  typedef float Vector __attribute__((vector_size(32)));
  constexpr int kChains = 12;
  Vector sums[kChains] = {};
  Vector x = Vector{} + 0.999f, y = Vector{} + 0.001f;
  for (std::int64_t i = 0; i < rounds; ++i) {
    __asm__ volatile("" : "+x"(x), "+x"(y));  // else the loop would be folded
#pragma GCC unroll 12
    for (int c = 0; c < kChains; ++c) sums[c] = sums[c] * x + y;
  }
  float total = 0;
  for (const Vector& s : sums) total += s[0];
  return total;
}

double peak_gflops(ThreadPool& threads) {
  constexpr std::int64_t kRounds = 4'000'000;
  double best = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    std::vector<double> kept(static_cast<std::size_t>(threads.size()));
    const double t = seconds_of([&] {
      threads.for_each(threads.size(), [&](std::int64_t item, int) {
        kept[static_cast<std::size_t>(item)] = multiply_adds(kRounds);
      });
    });
    const double flops = 2.0 * 8 * 12 * kRounds * threads.size();
    if (std::accumulate(kept.begin(), kept.end(), 0.0) != 0) best = std::max(best, flops / t / 1e9);
  }
  return best;
}

struct Problem {
  std::int64_t B, T, N, H;
  Tensor qkv, o, lse, do_, dqkv;
  Problem(std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t h)
      : B(b),
        T(t),
        N(n),
        H(h),
        qkv({B, T, 3 * N * H}),
        o({B, T, N, H}),
        lse({B, N, T}),
        do_({B, T, N, H}),
        dqkv({B, T, 3 * N * H}) {
    const RandomStream stream(1, "bench");
    for (Tensor* x : {&qkv, &do_}) {
      for (std::int64_t i = 0; i < x->size(); ++i) {
        x->data<float>()[i] = static_cast<float>(stream.normal(static_cast<std::uint64_t>(i)));
      }
    }
  }
  View part(Tensor& x, std::int64_t i) {
    return x.view().slice(2, i * N * H, (i + 1) * N * H).split(2, N, H);
  }
  void forward(const Exec& ex, const AttentionRule& rule) {
    attention_forward(ex, o, lse, part(qkv, 0), part(qkv, 1), part(qkv, 2), rule);
  }
  void backward(const Exec& ex, const AttentionRule& rule) {
    attention_backward(ex, part(dqkv, 0), part(dqkv, 1), part(dqkv, 2), do_, part(qkv, 0),
                       part(qkv, 1), part(qkv, 2), o, lse, rule);
  }
};

struct Times {
  double forward = 1e30, backward = 1e30;
  double both() const { return forward + backward; }
};

// The best of several runs of each span, taken in turn so that a slow minute of the machine does
// not fall on one of them.
std::vector<Times> measure(const Exec& ex, Problem& p, const std::vector<AnySpan>& spans) {
  std::vector<Times> best(spans.size());
  const float scale = 1.0f / std::sqrt(static_cast<float>(p.H));
  const int repeats = p.T <= 2048 ? 15 : 5;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (std::size_t s = 0; s < spans.size(); ++s) {
      const AttentionRule rule{spans[s], scale, {}};
      best[s].forward = std::min(best[s].forward, seconds_of([&] { p.forward(ex, rule); }));
      best[s].backward = std::min(best[s].backward, seconds_of([&] { p.backward(ex, rule); }));
    }
  }
  return best;
}

int run(int thread_count, std::int64_t H, std::int64_t heads) {
  ThreadPool threads(thread_count);
  Arena scratch("scratch");
  const Exec ex{.device = {}, .threads = threads, .scratch = scratch};
  const double peak = peak_gflops(threads);
  fmt::print("{}, {} threads, {}; multiply-add peak {:.0f} GFLOP/s\n", cpu_name(), threads.size(),
             name_of(ex.isa), peak);
  fmt::print("B*N={} H={}; forward counts 4H, backward 10H operations for a visible pair\n", heads,
             H);
  fmt::print("{:>6} {:>14} {:>9} {:>9} {:>8} {:>8} {:>7} {:>8} {:>9}\n", "T", "span", "fwd ms",
             "bwd ms", "fwd %", "bwd %", "both %", "of full", "us/token");
  const std::vector<AnySpan> spans = {FullSpan{}, SlidingSpan{256}, SlidingSpan{512},
                                      BlockSpan{256}, BlockSpan{256, 1}};
  double ratio = 0;
  std::map<std::int64_t, double> sliding_per_token;
  for (const std::int64_t T : {1024, 2048, 8192}) {
    Problem p(1, T, heads, H);
    const std::vector<Times> times = measure(ex, p, spans);
    for (std::size_t s = 0; s < spans.size(); ++s) {
      const double flops = static_cast<double>(spans[s].pairs(T) * H * heads);
      const auto percent = [&](double operations, double t) {
        return 100 * operations * flops / t / 1e9 / peak;
      };
      const Times& t = times[s];
      fmt::print("{:>6} {:>14} {:>9.2f} {:>9.2f} {:>8.1f} {:>8.1f} {:>7.1f} {:>8.3f} {:>9.3f}\n", T,
                 spans[s].str(), 1e3 * t.forward, 1e3 * t.backward, percent(4, t.forward),
                 percent(10, t.backward), percent(14, t.both()), t.both() / times[0].both(),
                 1e6 * t.both() / static_cast<double>(T));
    }
    if (T == 2048) ratio = times[1].both() / times[0].both();
    sliding_per_token[T] = times[1].both() / static_cast<double>(T);
  }
  const double growth = sliding_per_token[8192] / sliding_per_token[1024];
  fmt::print(
      "T=2048 sliding:256 / full, forward + backward: {:.3f} (pairs: {:.3f}); wanted at most 0.25: "
      "{}\n",
      ratio,
      static_cast<double>(AnySpan(SlidingSpan{256}).pairs(2048)) /
          static_cast<double>(AnySpan().pairs(2048)),
      ratio <= 0.25 ? "PASS" : "FAIL");
  fmt::print(
      "sliding:256 time per token, T=8192 / T=1024: {:.3f} (pairs: {:.3f}); wanted at most 1.2: "
      "{}\n",
      growth,
      static_cast<double>(AnySpan(SlidingSpan{256}).pairs(8192)) / 8 /
          static_cast<double>(AnySpan(SlidingSpan{256}).pairs(1024)),
      growth <= 1.2 ? "PASS" : "FAIL");
  return 0;
}

}  // namespace
}  // namespace mixspan

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::atoi(argv[i]) : otherwise;
  };
  return mixspan::run(argument(1, 2), argument(2, 64), argument(3, 12));
}
