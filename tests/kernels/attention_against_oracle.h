// One attention, and what differs between it and the oracle.
#pragma once

#include <cmath>
#include <string>

#include "tests/kernels/attention_cases.h"
#include "tests/support/close.h"

namespace mixspan::test {

inline float scale_for(std::int64_t H) { return 1.0f / std::sqrt(static_cast<float>(H)); }

inline void run(const Exec& ex, AttentionTensors& t, const AttentionRule& rule) {
  attention_forward(ex, t.o, t.lse, t.q, t.k, t.v, rule);
  attention_backward(ex, t.dq, t.dk, t.dv, t.do_, t.q, t.k, t.v, t.o, t.lse, rule);
}

/// y += x for an f32 or f64 tensor and an f32 view.
inline void add(View y, ConstView x) {
  const Tensor terms = to_f64(x);
  dispatch<float, double>("add", y.dtype(), [&]<class T>() {
    for (std::int64_t i = 0; i < y.size(); ++i) {
      y.data<T>()[i] = static_cast<T>(y.data<T>()[i] + terms.data<double>()[i]);
    }
  });
}

/// Like differs() for an f32 lse and an f64 one, whose -infinities (rows that read no key) must
/// stand in the same places.
inline std::string lse_differs(const ConstView& got, const ConstView& want) {
  Tensor a = to_f64(got), b = copy_of(want);
  for (std::int64_t i = 0; i < a.size(); ++i) {
    double &x = a.data<double>()[i], &y = b.data<double>()[i];
    if (x == y && std::isinf(y)) x = y = 0;
    if (std::isinf(y)) return fmt::format("element {} is {}, wanted {}", i, x, y);
  }
  return differs(a, b, kAttentionForward);
}

/// o and lse of the oracle.
struct OracleOutputs {
  Tensor o, lse;
  OracleOutputs(Tensor o_f64, Tensor lse_f64) : o(std::move(o_f64)), lse(std::move(lse_f64)) {}
  OracleOutputs(ConstView q, ConstView k, ConstView v, const AttentionRule& rule)
      : o(poisoned_tensor(q.shape(), DType::f64)),
        lse(poisoned_tensor({q.dim(0), q.dim(2), q.dim(1)}, DType::f64)) {
    oracle::attention_forward(o, lse, q, k, v, rule);
  }
};

/// dq, dk and dv of the oracle, from its own o and lse of all keys.
struct OracleGradients {
  Tensor dq, dk, dv;
  OracleGradients(ConstView do_, ConstView q, ConstView k, ConstView v, ConstView o, ConstView lse,
                  const AttentionRule& rule)
      : dq(poisoned_tensor(q.shape(), DType::f64)),
        dk(poisoned_tensor(k.shape(), DType::f64)),
        dv(poisoned_tensor(k.shape(), DType::f64)) {
    oracle::attention_backward(dq, dk, dv, do_, q, k, v, o, lse, rule);
  }
};

/// "name: what" and a line's end, or nothing.
inline std::string named(const char* name, const std::string& found) {
  return found.empty() ? "" : fmt::format("{}: {}\n", name, found);
}

inline std::string outputs_differ(const ConstView& o, const ConstView& lse,
                                  const OracleOutputs& want) {
  return named("o", differs(o, want.o, kAttentionForward)) +
         named("lse", lse_differs(lse, want.lse));
}

/// dq, dk and `want` may be changed: where each query reads one key alone, they are 0 by
/// cancellation, so there is nothing they could be compared relative to; adding q and v, which are
/// of the size of what cancels, gives that.
inline std::string gradients_differ(const View& dq, const View& dk, const View& dv,
                                    const ConstView& q, const ConstView& v,
                                    OracleGradients&& want) {
  if (distance(Tensor(q.shape(), DType::f64), want.dq).l2 == 0) {
    add(dq, q), add(want.dq, q), add(dk, v), add(want.dk, v);
  }
  return named("dq", differs(dq, want.dq, kAttentionBackward)) +
         named("dk", differs(dk, want.dk, kAttentionBackward)) +
         named("dv", differs(dv, want.dv, kAttentionBackward));
}

/// What differs from the oracle under `oracle_rule`; empty when nothing does.
inline std::string differs_from_oracle(AttentionTensors& t, const AttentionRule& oracle_rule) {
  const OracleOutputs want(t.q, t.k, t.v, oracle_rule);
  return outputs_differ(t.o, t.lse, want) +
         gradients_differ(t.dq, t.dk, t.dv, t.q, t.v,
                          OracleGradients(t.do_, t.q, t.k, t.v, want.o, want.lse, oracle_rule));
}

inline std::string same_bits(const AttentionTensors& a, const AttentionTensors& b) {
  return bits_differ(a.o, b.o) + bits_differ(a.lse, b.lse) + bits_differ(a.dq, b.dq) +
         bits_differ(a.dk, b.dk) + bits_differ(a.dv, b.dv);
}

}  // namespace mixspan::test
