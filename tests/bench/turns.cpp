// Measures once for each line of its standard input, so that a script can take turns between this
// and another program on one machine (peers/compare.py).
//   bench_turns [bf16] attention B T N H SPAN     a line: seconds forward, seconds backward
//   bench_turns [bf16] step LAYERS WIDTH HEADS T VOCAB TOKENS SPAN FULL_LAYERS [RECOMPUTE
//   [MICRO_ROWS]]
//                                                 a line: seconds
// Before: "ready THREADS PARAMETERS"; at the end of the input: "peak" and the most bytes that were
// resident before there was any work, and in all.
#include <fmt/core.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>

#include "experiments/run/machine.h"
#include "experiments/run/trainer.h"
#include "kernels/attention.h"
#include "tests/bench/attention_problem.h"
#include "tests/bench/random_tokens.h"

namespace mixspan {
namespace {

using Clock = std::chrono::steady_clock;

void say(const std::string& line) { std::cout << line << std::endl; }

template <class Body>
double seconds_of(Body&& body) {
  const Clock::time_point begin = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class Turn>
void take_turns(const Exec& ex, std::int64_t parameters, std::int64_t empty, Turn&& turn) {
  turn();  // touches the memory
  say(fmt::format("ready {} {}", ex.threads.size(), parameters));
  for (std::string line; std::getline(std::cin, line);) say(turn());
  say(fmt::format("peak {} {}", empty, peak_resident_bytes()));
}

void attention_turns(Precision precision, std::int64_t B, std::int64_t T, std::int64_t N,
                     std::int64_t H, const AnySpan& span) {
  Machine machine;
  const std::int64_t empty = peak_resident_bytes();
  Exec ex = machine.exec();
  ex.precision = precision;
  Arena arena("activations");
  AttentionProblem p(arena, B, T, N, H);
  const AttentionRule rule{span, 1.0f / std::sqrt(static_cast<float>(H)), {}};
  take_turns(ex, 0, empty, [&] {
    const double forward = seconds_of([&] { p.forward(ex, rule); });
    return fmt::format("{} {}", forward, seconds_of([&] { p.backward(ex, rule); }));
  });
}

void step_turns(const RunConfig& config) {
  Machine machine;
  const std::int64_t empty = peak_resident_bytes();
  const Exec ex = machine.exec();
  const RandomTokens data(config.model.context, config.model.vocab);
  Trainer trainer(ex, config, data);
  std::int64_t step = 0;
  take_turns(ex, declared_params(config.model).count(), empty,
             [&] { return fmt::format("{}", seconds_of([&] { trainer.step(step++); })); });
}

int run(std::span<char*> words) {
  const bool in_bf16 = !words.empty() && words[0] == std::string("bf16");
  if (in_bf16) words = words.subspan(1);
  const auto number = [&](std::size_t i) { return std::atoll(words[i]); };
  if (words.size() == 6 && words[0] == std::string("attention")) {
    attention_turns(in_bf16 ? Precision::bf16 : Precision::fp32, number(1), number(2), number(3),
                    number(4), parse_span(words[5]));
    return 0;
  }
  if (words.size() >= 9 && words.size() <= 11 && words[0] == std::string("step")) {
    RunConfig c;
    c.model.layers = number(1);
    c.model.width = number(2);
    c.model.heads = number(3);
    c.model.context = number(4);
    c.model.vocab = number(5);
    c.model.span = words[7];
    c.model.full_layers = words[8];
    c.train.batch_tokens = number(6);
    c.train.steps = 1000;
    if (in_bf16) c.train.precision = "bf16";
    if (words.size() > 9) c.model.recompute = words[9];
    if (words.size() > 10) c.train.micro_rows = number(10);
    step_turns(c);
    return 0;
  }
  std::cerr << "usage: bench_turns [bf16] attention B T N H SPAN\n"
               "       bench_turns [bf16] step LAYERS WIDTH HEADS T VOCAB TOKENS SPAN FULL_LAYERS "
               "[RECOMPUTE [MICRO_ROWS]]\n";
  return 2;
}

}  // namespace
}  // namespace mixspan

int main(int argc, char** argv) {
  return mixspan::run({argv + 1, static_cast<std::size_t>(argc - 1)});
}
