// Attention by span: time, share of the processor's peak, cost relative to full, cost per token.
//     bench_attention [threads] [head size] [heads] [0 portable, 1 avx2, 2 avx512] [bf16]
// The peak is of fp32 either way; a processor with AVX512-BF16 has twice that for bf16.
#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "core/exec.h"
#include "tests/bench/attention_problem.h"

namespace mixspan {
namespace {

// Time on the wall, and the processor time of all threads divided by their number. On a machine
// with nothing else to do the two agree; on a busy one the second still tells what the work costs.
struct Seconds {
  double wall = 1e30, cpu = 1e30;
  void keep_best(const Seconds& other) {
    wall = std::min(wall, other.wall);
    cpu = std::min(cpu, other.cpu);
  }
};
Seconds operator+(const Seconds& a, const Seconds& b) { return {a.wall + b.wall, a.cpu + b.cpu}; }

double now(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The processor time of a thread that runs is counted up to its last tick alone; one that sleeps is
// counted to the end. So the workers are given the time to fall asleep before the clock is read.
double settled_cpu() {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return now(CLOCK_PROCESS_CPUTIME_ID);
}

template <class Body>
Seconds seconds_of(int threads, Body&& body) {
  const double cpu = settled_cpu(), begin = now(CLOCK_MONOTONIC);
  body();
  const double wall = now(CLOCK_MONOTONIC) - begin;
  return {wall, (settled_cpu() - cpu) / threads};
}

// Multiply-adds on registers alone: what a core can do at best. Vectors of 32 bytes reach that on
// every processor without 64-byte units, or with those it splits in two; where such units are whole
// the peak is up to twice as high as this says.
#if defined(__x86_64__)
__attribute__((target("avx2,fma")))
#endif
double
multiply_adds(std::int64_t rounds) {
  typedef float Vector __attribute__((vector_size(32)));
  constexpr int kChains = 12;
  Vector sums[kChains];
  for (int c = 0; c < kChains; ++c) sums[c] = Vector{} + 0.1f * static_cast<float>(c);
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
  constexpr std::int64_t kRounds = 1'000'000;
  Seconds best;
  std::vector<double> kept(static_cast<std::size_t>(threads.size()));
  for (int repeat = 0; repeat < 30; ++repeat) {
    best.keep_best(seconds_of(threads.size(), [&] {
      threads.for_each(threads.size(), [&](std::int64_t item, int) {
        kept[static_cast<std::size_t>(item)] = multiply_adds(kRounds);
      });
    }));
  }
  check(std::accumulate(kept.begin(), kept.end(), 0.0) != 0, "the peak was not measured");
  return 2.0 * 8 * 12 * kRounds * threads.size() / best.cpu / 1e9;
}

struct Times {
  Seconds forward, backward;
  Seconds both() const { return forward + backward; }
};

// The best of several runs of each span, taken in turn so that a slow minute of the machine does
// not fall on one of them.
std::vector<Times> measure(const Exec& ex, AttentionProblem& p, const std::vector<AnySpan>& spans) {
  std::vector<Times> best(spans.size());
  const float scale = 1.0f / std::sqrt(static_cast<float>(p.H));
  const int repeats = p.T <= 2048 ? 15 : 5, threads = ex.threads.size();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (std::size_t s = 0; s < spans.size(); ++s) {
      const AttentionRule rule{spans[s], scale, {}};
      best[s].forward.keep_best(seconds_of(threads, [&] { p.forward(ex, rule); }));
      best[s].backward.keep_best(seconds_of(threads, [&] { p.backward(ex, rule); }));
    }
  }
  return best;
}

double pairs(const AnySpan& span, std::int64_t T) { return static_cast<double>(span.pairs(T)); }

Seconds median(std::vector<Seconds> all) {
  const auto middle = [&](double Seconds::*member) {
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), at, all.end(),
                     [&](const Seconds& a, const Seconds& b) { return a.*member < b.*member; });
    return (*at).*member;
  };
  return {middle(&Seconds::wall), middle(&Seconds::cpu)};
}

// Forward and backward, each way as often in a row as makes it about as much work: what it takes to
// wake the threads and to let them fall asleep weighs alike. Medians of 20 turns.
struct Compared {
  Seconds span, full;
};
Compared against_full(const Exec& ex, AttentionProblem& p, const AnySpan& span) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(p.H));
  const auto times = static_cast<int>(pairs(AnySpan(), p.T) / pairs(span, p.T));
  const auto calls = [&](const AnySpan& which, int count) {
    const AttentionRule rule{which, scale, {}};
    Seconds all = seconds_of(ex.threads.size(), [&] {
      for (int i = 0; i < count; ++i) {
        p.forward(ex, rule);
        p.backward(ex, rule);
      }
    });
    all.wall /= count;
    all.cpu /= count;
    return all;
  };
  std::vector<Seconds> some, all;
  for (int turn = 0; turn < 20; ++turn) {
    some.push_back(calls(span, times));
    all.push_back(calls({}, 1));
  }
  return {median(some), median(all)};
}
const char* verdict(bool pass) { return pass ? "PASS" : "FAIL"; }

void print_row(const AttentionProblem& p, const AnySpan& span, const Times& t, const Times& full,
               double peak) {
  const double operations = pairs(span, p.T) * static_cast<double>(p.B * p.N * p.H);
  const auto percent = [&](double per_pair, const Seconds& s) {
    return 100 * per_pair * operations / s.cpu / 1e9 / peak;
  };
  fmt::print(
      "{:>5} {:>14} {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f} {:>6.1f} {:>6.1f} {:>6.1f} {:>8.1f} "
      "{:>8.3f} {:>9.2f}\n",
      p.T, span.str(), 1e3 * t.forward.wall, 1e3 * t.backward.wall, 1e3 * t.forward.cpu,
      1e3 * t.backward.cpu, percent(4, t.forward), percent(10, t.backward), percent(14, t.both()),
      14 * operations / t.both().cpu / 1e9, t.both().cpu / full.both().cpu,
      1e6 * t.both().cpu / static_cast<double>(p.B * p.T));
}

int run(int thread_count, std::int64_t H, std::int64_t heads, Isa isa, Precision precision) {
  ThreadPool threads(thread_count);
  Arena scratch("scratch");
  const Exec ex{
      .device = {}, .threads = threads, .scratch = scratch, .isa = isa, .precision = precision};
  const double peak = peak_gflops(threads);
  fmt::print("{}, {} threads, {}, {}; multiply-add peak {:.0f} GFLOP/s\n", cpu_name(),
             threads.size(), name_of(ex.isa), precision == Precision::bf16 ? "bf16" : "fp32", peak);
  fmt::print(
      "B=1 N={} H={}; a visible pair counts 4H operations forward, 10H backward\n"
      "{:>5} {:>14} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>6} {:>8} {:>8} {:>9}\n",
      heads, H, "T", "span", "fwd wall", "bwd wall", "fwd ms", "bwd ms", "fwd %", "bwd %", "both %",
      "GFLOP/s", "of full", "us/token");
  const AnySpan full, sliding = SlidingSpan{256};
  const std::vector<AnySpan> spans = {full, sliding, SlidingSpan{512}, BlockSpan{256},
                                      BlockSpan{256, 1}};
  std::map<std::int64_t, std::vector<Times>> times;
  Compared compared;
  for (const std::int64_t T : {1024, 2048, 8192}) {
    Arena activations("activations");
    AttentionProblem p(activations, 1, T, heads, H);
    times[T] = measure(ex, p, spans);
    for (std::size_t s = 0; s < spans.size(); ++s) {
      print_row(p, spans[s], times[T][s], times[T][0], peak);
    }
    if (T == 2048) compared = against_full(ex, p, sliding);
  }
  const auto& [some, all] = compared;
  fmt::print(
      "T=2048, sliding:256 / full, forward + backward: {:.3f} (wall {:.3f}; pairs {:.3f}); "
      "wanted at most 0.25: {}\n",
      some.cpu / all.cpu, some.wall / all.wall, pairs(sliding, 2048) / pairs(full, 2048),
      verdict(some.cpu / all.cpu <= 0.25));
  const Seconds longer = times[8192][1].both(), shorter = times[1024][1].both();
  const double growth = longer.cpu / 8 / shorter.cpu;
  fmt::print(
      "sliding:256, time per token at T=8192 / T=1024: {:.3f} (wall {:.3f}; pairs {:.3f}); "
      "wanted at most 1.2: {}\n",
      growth, longer.wall / 8 / shorter.wall, pairs(sliding, 8192) / 8 / pairs(sliding, 1024),
      verdict(growth <= 1.2));
  return 0;
}

}  // namespace
}  // namespace mixspan

int main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::atoi(argv[i]) : otherwise;
  };
  const int isa = argument(4, static_cast<int>(mixspan::best_isa()));
  return mixspan::run(argument(1, 2), argument(2, 64), argument(3, 12),
                      static_cast<mixspan::Isa>(isa),
                      argc > 5 && argv[5] == std::string("bf16") ? mixspan::Precision::bf16
                                                                 : mixspan::Precision::fp32);
}
