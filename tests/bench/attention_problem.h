// One packed QKV of attention, as a layer hands it over, in an arena, as a training step holds it.
#pragma once

#include "core/arena.h"
#include "core/rng.h"
#include "kernels/attention.h"

namespace mixspan {

struct AttentionProblem {
  std::int64_t B, T, N, H;
  View qkv, o, lse, do_, dqkv;

  AttentionProblem(Arena& arena, std::int64_t b, std::int64_t t, std::int64_t n, std::int64_t h)
      : B(b),
        T(t),
        N(n),
        H(h),
        qkv(arena.allocate("qkv", {B, T, 3 * N * H})),
        o(arena.allocate("o", {B, T, N, H})),
        lse(arena.allocate("lse", {B, N, T})),
        do_(arena.allocate("do", {B, T, N, H})),
        dqkv(arena.allocate("dqkv", {B, T, 3 * N * H})) {
    const RandomStream stream(1, "bench");
    for (View* x : {&qkv, &do_}) {
      for (std::int64_t i = 0; i < x->size(); ++i) {
        x->data<float>()[i] = static_cast<float>(stream.normal(static_cast<std::uint64_t>(i)));
      }
    }
  }

  void forward(const Exec& ex, const AttentionRule& rule) {
    attention_forward(ex, o, lse, part(qkv, 0), part(qkv, 1), part(qkv, 2), rule);
  }
  void backward(const Exec& ex, const AttentionRule& rule) {
    attention_backward(ex, part(dqkv, 0), part(dqkv, 1), part(dqkv, 2), do_, part(qkv, 0),
                       part(qkv, 1), part(qkv, 2), o, lse, rule);
  }

 private:
  View part(const View& x, std::int64_t i) const {
    return x.slice(2, i * N * H, (i + 1) * N * H).split(2, N, H);
  }
};

}  // namespace mixspan
