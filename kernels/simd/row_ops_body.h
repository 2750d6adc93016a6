// The loops of row_ops.h for vectors of L floats. Included by one file for each instruction set;
// internal linkage for the reason given in vec.h.
#pragma once

#include "kernels/simd/row_ops.h"
#include "kernels/simd/vec.h"

namespace mixspan::simd {
namespace {

template <int L>
struct Loops {
  using V = Vec<L>;
  using F = typename V::F;
  static constexpr std::int64_t kUnroll = 4;
  static constexpr std::int64_t kPiece = 1024;  // terms that are summed in fp32 before fp64

  /// Calls body(offset, load, store) for whole vectors and then once for the ends of the arrays.
  template <class Body>
  static void map(std::int64_t n, Body body) {
    std::int64_t i = 0;
    for (; i + L <= n; i += L) {
      body([i](const float* p) { return V::load(p + i); },
           [i](float* p, F v) { V::store(p + i, v); });
    }
    if (i < n) {
      body([i, n](const float* p) { return V::load_part(p + i, n - i, 0.0f); },
           [i, n](float* p, F v) { V::store_part(p + i, v, n - i); });
    }
  }

  /// Sum over i of term(load), where load(p) gives p's next lanes and `rest` past the end. The
  /// order: 4 L lanes, then lane by lane in halves.
  template <class Term>
  static float sum_terms(std::int64_t n, float rest, Term term) {
    F acc[kUnroll] = {};
    std::int64_t i = 0;
    for (; i + kUnroll * L <= n; i += kUnroll * L) {
      for (std::int64_t u = 0; u < kUnroll; ++u) {
        acc[u] += term([at = i + u * L](const float* p) { return V::load(p + at); });
      }
    }
    for (; i + L <= n; i += L) acc[0] += term([i](const float* p) { return V::load(p + i); });
    if (i < n) {
      acc[1] += term([i, n, rest](const float* p) { return V::load_part(p + i, n - i, rest); });
    }
    return V::sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
  }

  static void add(float* y, const float* x, std::int64_t n) {
    map(n, [=](auto load, auto store) { store(y, load(y) + load(x)); });
  }
  static void sum_of(float* y, const float* a, const float* b, std::int64_t n) {
    map(n, [=](auto load, auto store) { store(y, load(a) + load(b)); });
  }
  static void scale(float* y, float factor, std::int64_t n) {
    map(n, [=](auto load, auto store) { store(y, load(y) * factor); });
  }

  // gelu(x) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3): the same as the tanh form, and
  // exact where 1 + tanh(u) would cancel.
  static constexpr float kTwoInner = 1.5957691216057308f;  // 2 sqrt(2/pi)
  static constexpr float kCubic = 0.044715f;
  static F gelu_gate(F x) { return 1.0f / (1.0f + V::exp(-kTwoInner * (x + kCubic * x * x * x))); }
  static void gelu(float* y, const float* x, std::int64_t n) {
    map(n, [=](auto load, auto store) {
      const F v = load(x);
      store(y, v * gelu_gate(v));
    });
  }
  static void gelu_backward(float* dx, const float* dy, const float* x, std::int64_t n) {
    map(n, [=](auto load, auto store) {
      const F v = load(x);
      const F gate = gelu_gate(v);
      const F slope = kTwoInner * (1.0f + 3 * kCubic * v * v);
      store(dx, load(dy) * (gate + v * gate * (1.0f - gate) * slope));
    });
  }

  static float mean(const float* x, std::int64_t n) {
    return sum_terms(n, 0.0f, [=](auto load) { return load(x); }) / static_cast<float>(n);
  }
  static float variance(const float* x, float mean, std::int64_t n) {
    return sum_terms(n, mean,
                     [=](auto load) {
                       const F d = load(x) - mean;
                       return d * d;
                     }) /
           static_cast<float>(n);
  }
  static void normalise(float* y, NormRow row, const float* bias, std::int64_t n) {
    map(n, [=](auto load, auto store) {
      store(y, (load(row.x) - row.mean) * row.rstd * load(row.gain) + load(bias));
    });
  }
  static void norm_backward(float* dx, bool add_dx, float* dgain, float* dbias, const float* dy,
                            NormRow row, std::int64_t n) {
    const auto count = static_cast<float>(n);
    const float sum_up =
        sum_terms(n, 0.0f, [=](auto load) { return load(dy) * load(row.gain); }) / count;
    const float sum_normal =
        sum_terms(n, 0.0f,
                  [=](auto load) {
                    return load(dy) * load(row.gain) * ((load(row.x) - row.mean) * row.rstd);
                  }) /
        count;
    map(n, [=](auto load, auto store) {
      const F up = load(dy);
      const F normal = (load(row.x) - row.mean) * row.rstd;
      const F d = row.rstd * (up * load(row.gain) - sum_up - normal * sum_normal);
      store(dx, add_dx ? load(dx) + d : d);
      store(dgain, load(dgain) + up * normal);
      store(dbias, load(dbias) + up);
    });
  }

  static float max(const float* x, std::int64_t n) {
    F best = V::all(x[0]);
    std::int64_t i = 0;
    for (; i + L <= n; i += L) best = V::max(V::load(x + i), best);
    if (i < n) best = V::max(V::load_part(x + i, n - i, x[0]), best);
    float m = best[0];
    for (int l = 1; l < L; ++l) m = best[l] > m ? best[l] : m;
    return m;
  }
  static double sum_exp(const float* x, float shift, std::int64_t n) {
    double total = 0;
    for (std::int64_t i = 0; i < n; i += kPiece) {
      const float* piece = x + i;
      total += sum_terms(n - i < kPiece ? n - i : kPiece, -__builtin_inff(),
                         [=](auto load) { return V::exp(load(piece) - shift); });
    }
    return total;
  }
  static double exp_in_place(float* x, float shift, std::int64_t n) {
    double total = 0;
    for (std::int64_t i = 0; i < n; i += kPiece) {
      float* piece = x + i;
      const std::int64_t length = n - i < kPiece ? n - i : kPiece;
      map(length, [=](auto load, auto store) { store(piece, V::exp(load(piece) - shift)); });
      total += sum_terms(length, 0.0f, [=](auto load) { return load(piece); });
    }
    return total;
  }

  static void adamw(float* w, float* m, float* v, const float* g, const AdamWFactors& f,
                    std::int64_t n) {
    map(n, [=](auto load, auto store) {
      const F gradient = load(g) * f.grad_scale;
      const F first = f.beta1 * load(m) + f.one_minus_beta1 * gradient;
      const F second = f.beta2 * load(v) + f.one_minus_beta2 * gradient * gradient;
      const F old = load(w);
      const F step = f.lr_m * first / (V::sqrt(second * f.inv_c2) + f.eps);
      store(m, first);
      store(v, second);
      store(w, old - (step + f.lr_wd * old));
    });
  }

  /// Sum of term(x) over lanes of doubles: x's lower and upper half are added apart.
  template <class Term>
  static double sum_doubles(const float* x, std::int64_t n, Term term) {
    using D = typename Lanes<L>::D;
    D acc[4] = {};
    std::int64_t i = 0;
    const auto wide = [x](std::int64_t at) {
      typename Lanes<L>::H h;
      __builtin_memcpy(&h, x + at, sizeof(h));
      return __builtin_convertvector(h, D);
    };
    for (; i + 2 * L <= n; i += 2 * L) {
      for (int u = 0; u < 4; ++u) acc[u] += term(wide(i + u * (L / 2)));
    }
    const D lanes = (acc[0] + acc[1]) + (acc[2] + acc[3]);
    double total = 0;
    for (int l = 0; l < L / 2; ++l) total += lanes[l];
    for (; i < n; ++i) total += term(static_cast<double>(x[i]));
    return total;
  }
  static double sum(const float* x, std::int64_t n) {
    return sum_doubles(x, n, [](auto v) { return v; });
  }
  static double sum_of_squares(const float* x, std::int64_t n) {
    return sum_doubles(x, n, [](auto v) { return v * v; });
  }
  static bool all_finite(const float* x, std::int64_t n) {
    // x - x is 0 for a finite number and a NaN for any other, and a NaN stays in the sum.
    const float s = sum_terms(n, 0.0f, [=](auto load) { return load(x) - load(x); });
    return s == 0.0f;
  }
};

template <int L>
constexpr RowOps make_row_ops() {
  using O = Loops<L>;
  return {.add = O::add,
          .sum_of = O::sum_of,
          .scale = O::scale,
          .gelu = O::gelu,
          .gelu_backward = O::gelu_backward,
          .mean = O::mean,
          .variance = O::variance,
          .normalise = O::normalise,
          .norm_backward = O::norm_backward,
          .max = O::max,
          .sum_exp = O::sum_exp,
          .exp_in_place = O::exp_in_place,
          .adamw = O::adamw,
          .sum = O::sum,
          .sum_of_squares = O::sum_of_squares,
          .all_finite = O::all_finite};
}

}  // namespace
}  // namespace mixspan::simd
