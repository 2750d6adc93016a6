// A whole attention, of which rectangles of queries and keys are computed one at a time.
#pragma once

#include "kernels/tile_ranges.h"
#include "tests/kernels/attention_against_oracle.h"

namespace mixspan::test {

/// Where to cut a text of 260 positions.
inline constexpr std::int64_t kCuts[] = {0, 1, 38, 64, 65, 130, 199, 260};

/// Rows `rows` of dim 1 of an f32 tensor of rank 4, as a tensor of their own.
inline Tensor copy_of_rows(const Tensor& x, Range rows) {
  const Shape& s = x.shape();
  Tensor part({s[0], rows.size(), s[2], s[3]});
  const std::int64_t row = s[2] * s[3];
  for (std::int64_t b = 0; b < s[0]; ++b) {
    std::copy_n(x.data<float>() + (b * s[1] + rows.begin) * row, rows.size() * row,
                part.data<float>() + b * rows.size() * row);
  }
  return part;
}

inline Tensor to_f32(const Tensor& x) {
  Tensor y(x.shape());
  std::copy_n(x.data<double>(), x.size(), y.data<float>());
  return y;
}

/// What one call each of forward and backward gives, full of NaN before.
struct Part {
  Tensor o, lse, dq, dk, dv;
};

/// T positions in each of B sequences, and the o and lse of all keys.
struct Text {
  Text(const AttentionSize& s, const AnySpan& text_span,
       const std::vector<std::int64_t>& document_lengths)
      : span(text_span),
        scale(scale_for(s.H)),
        inputs(s),
        start(document_lengths.empty() ? Tensor() : documents(s.B, s.Tq, document_lengths)),
        all(inputs.q, inputs.k, inputs.v, rule({0, s.Tq}, {0, s.Tq})),
        o(to_f32(all.o)),
        lse(to_f32(all.lse)) {}
  Text(const Text&) = delete;

  std::int64_t T() const { return inputs.q.shape()[1]; }
  AttentionRule rule(Range queries, Range keys) const {
    return {span, scale,
            start.view().empty() ? ConstView() : start.view().slice(1, queries.begin, queries.end),
            queries.begin, keys.begin};
  }
  static ConstView rows(const Tensor& x, Range r) { return x.view().slice(1, r.begin, r.end); }
  ConstView lse_of(Range queries) const { return lse.view().slice(2, queries.begin, queries.end); }

  Part forward(const Exec& ex, Range queries, Range keys) const {
    const Shape& s = inputs.q.shape();
    Part part;
    part.o = poisoned_tensor({s[0], queries.size(), s[2], s[3]});
    part.lse = poisoned_tensor({s[0], s[2], queries.size()});
    attention_forward(ex, part.o, part.lse, rows(inputs.q, queries), rows(inputs.k, keys),
                      rows(inputs.v, keys), rule(queries, keys));
    return part;
  }
  /// From the given o and lse of those queries.
  void backward(const Exec& ex, Part& part, Range queries, Range keys, ConstView o_,
                ConstView lse_) const {
    const Shape &s = inputs.q.shape(), &kv = inputs.k.shape();
    part.dq = poisoned_tensor({s[0], queries.size(), s[2], s[3]});
    part.dk = poisoned_tensor({kv[0], keys.size(), kv[2], kv[3]});
    part.dv = poisoned_tensor(part.dk.shape());
    attention_backward(ex, part.dq, part.dk, part.dv, rows(inputs.do_, queries),
                       rows(inputs.q, queries), rows(inputs.k, keys), rows(inputs.v, keys), o_,
                       lse_, rule(queries, keys));
  }
  /// Forward, and backward from the o and lse of all keys.
  Part run(const Exec& ex, Range queries, Range keys) const {
    Part part = forward(ex, queries, keys);
    backward(ex, part, queries, keys, rows(o, queries), lse_of(queries));
    return part;
  }

  AnySpan span;
  float scale;
  AttentionTensors inputs;
  Tensor start;
  OracleOutputs all;
  Tensor o, lse;  ///< `all` in f32
};

}  // namespace mixspan::test
