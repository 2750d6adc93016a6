// The definition of attention, in plain loops: what every faster version is compared with.
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention.h"

namespace mixspan::oracle {

namespace {

// A copy in fp64, row-major, of an f32 or f64 view of rank 3 or 4.
struct Doubles {
  explicit Doubles(std::string_view name, const ConstView& v) : shape(v.shape()) {
    values.reserve(static_cast<std::size_t>(v.size()));
    dispatch<float, double>(name, v.dtype(), [&]<class T>() {
      each_offset(v, [&](std::int64_t at) { values.push_back(v.data<T>()[at]); });
    });
  }
  explicit Doubles(const Shape& s) : shape(s), values(static_cast<std::size_t>(s.size()), 0.0) {}

  void store(std::string_view name, View v) const {
    check_shape(name, v, shape);
    dispatch<float, double>(name, v.dtype(), [&]<class T>() {
      auto next = values.begin();
      each_offset(v, [&](std::int64_t at) { v.data<T>()[at] = static_cast<T>(*next++); });
    });
  }

  // Row (b, t, n) of a (B, T, N, H) tensor.
  double* row(std::int64_t b, std::int64_t t, std::int64_t n) {
    return &values[static_cast<std::size_t>(((b * shape[1] + t) * shape[2] + n) * shape[3])];
  }

  Shape shape;
  std::vector<double> values;

 private:
  template <class Body>
  static void each_offset(const ConstView& v, Body body) {
    const int rank = v.shape().rank();
    for (std::int64_t i = 0; i < v.size(); ++i) {
      std::int64_t rest = i, offset = 0;
      for (int d = rank - 1; d >= 0; --d) {
        offset += rest % v.dim(d) * v.stride(d);
        rest /= v.dim(d);
      }
      body(offset);
    }
  }
};

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(double* y, double scale, const double* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] += scale * x[i];
}

// The least number, which no score is.
constexpr double kUnread = -std::numeric_limits<double>::infinity();

// Of query row r and key row s.
bool visible(const AttentionRule& rule, std::int64_t b, std::int64_t r, std::int64_t s) {
  const std::int64_t i = rule.first_query + r, j = rule.first_key + s;
  if (!rule.span.allows(i, j)) return false;
  if (rule.document_start.empty()) return true;
  const ConstView& start = rule.document_start;
  return j >= start.data<std::int32_t>()[b * start.stride(0) + r * start.stride(1)];
}

// The scores of query row r over all Tk keys, kUnread where it may not look.
void scores_of(std::vector<double>& scores, Doubles& k, const double* q, std::int64_t r,
               std::int64_t b, std::int64_t kv_head, const AttentionRule& rule) {
  const std::int64_t Tk = k.shape[1], H = k.shape[3];
  scores.assign(static_cast<std::size_t>(Tk), kUnread);
  for (std::int64_t s = 0; s < Tk; ++s) {
    if (!visible(rule, b, r, s)) continue;
    scores[static_cast<std::size_t>(s)] =
        static_cast<double>(rule.scale) * dot(q, k.row(b, s, kv_head), H);
  }
}

double log_sum_exp(const std::vector<double>& scores) {
  double largest = kUnread, sum = 0;
  for (const double score : scores) largest = std::max(largest, score);
  if (largest == kUnread) return kUnread;
  for (const double score : scores) sum += std::exp(score - largest);
  return largest + std::log(sum);
}

}  // namespace

void attention_forward(View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule& rule) {
  Doubles Q("q", q), K("k", k), V("v", v), O(q.shape());
  const std::int64_t B = q.dim(0), Tq = q.dim(1), N = q.dim(2), H = q.dim(3), Tk = k.dim(1);
  const std::int64_t group = N / k.dim(2);
  Doubles L(Shape{B, N, Tq});
  std::vector<double> scores;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t n = 0; n < N; ++n) {
      for (std::int64_t r = 0; r < Tq; ++r) {
        scores_of(scores, K, Q.row(b, r, n), r, b, n / group, rule);
        const double row_lse = log_sum_exp(scores);
        L.values[static_cast<std::size_t>((b * N + n) * Tq + r)] = row_lse;
        for (std::int64_t s = 0; s < Tk; ++s) {
          const double score = scores[static_cast<std::size_t>(s)];
          if (score == kUnread) continue;
          add_scaled(O.row(b, r, n), std::exp(score - row_lse), V.row(b, s, n / group), H);
        }
      }
    }
  }
  O.store("o", o);
  L.store("lse", lse);
}

// A key's weight is exp(score - lse), and what softmax takes from each dweight is do * o, whatever
// other keys o and lse were made of.
void attention_backward(View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
                        ConstView v, ConstView o, ConstView lse, const AttentionRule& rule) {
  Doubles Q("q", q), K("k", k), V("v", v), dO("do", do_), O("o", o), L("lse", lse);
  Doubles dQ(q.shape()), dK(k.shape()), dV(v.shape());
  const std::int64_t B = q.dim(0), Tq = q.dim(1), N = q.dim(2), H = q.dim(3), Tk = k.dim(1);
  const std::int64_t group = N / k.dim(2);
  std::vector<double> scores;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t n = 0; n < N; ++n) {
      const std::int64_t head = n / group;
      for (std::int64_t r = 0; r < Tq; ++r) {
        scores_of(scores, K, Q.row(b, r, n), r, b, head, rule);
        const double row_lse = L.values[static_cast<std::size_t>((b * N + n) * Tq + r)];
        const double* d_o = dO.row(b, r, n);
        const double delta = dot(d_o, O.row(b, r, n), H);
        for (std::int64_t s = 0; s < Tk; ++s) {
          const double score = scores[static_cast<std::size_t>(s)];
          if (score == kUnread) continue;
          const double weight = std::exp(score - row_lse);
          const double dweight = dot(d_o, V.row(b, s, head), H);
          const double dscore = static_cast<double>(rule.scale) * weight * (dweight - delta);
          add_scaled(dV.row(b, s, head), weight, d_o, H);
          add_scaled(dK.row(b, s, head), dscore, Q.row(b, r, n), H);
          add_scaled(dQ.row(b, r, n), dscore, K.row(b, s, head), H);
        }
      }
    }
  }
  dQ.store("dq", dq);
  dK.store("dk", dk);
  dV.store("dv", dv);
}

}  // namespace mixspan::oracle
