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

bool visible(const AttentionRule& rule, std::int64_t b, std::int64_t i, std::int64_t j) {
  if (!rule.span.allows(i, j)) return false;
  if (rule.document_start.empty()) return true;
  const ConstView& start = rule.document_start;
  return j >= start.data<std::int32_t>()[b * start.stride(0) + i * start.stride(1)];
}

// The softmax weights of one query over all Tk keys (0 where it may not look); returns its lse.
double weights_of(std::vector<double>& weights, Doubles& k, const double* q, std::int64_t position,
                  std::int64_t b, std::int64_t kv_head, const AttentionRule& rule) {
  const std::int64_t Tk = k.shape[1], H = k.shape[3];
  weights.assign(static_cast<std::size_t>(Tk), 0.0);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t j = 0; j < Tk; ++j) {
    if (!visible(rule, b, position, j)) continue;
    double& score = weights[static_cast<std::size_t>(j)];
    score = static_cast<double>(rule.scale) * dot(q, k.row(b, j, kv_head), H);
    largest = std::max(largest, score);
  }
  double sum = 0;
  for (std::int64_t j = 0; j < Tk; ++j) {
    double& weight = weights[static_cast<std::size_t>(j)];
    weight = visible(rule, b, position, j) ? std::exp(weight - largest) : 0.0;
    sum += weight;
  }
  for (double& weight : weights) weight /= sum;
  return largest + std::log(sum);
}

}  // namespace

void attention_forward(View o, View lse, ConstView q, ConstView k, ConstView v,
                       const AttentionRule& rule) {
  Doubles Q("q", q), K("k", k), V("v", v), O(q.shape());
  const std::int64_t B = q.dim(0), Tq = q.dim(1), N = q.dim(2), H = q.dim(3), Tk = k.dim(1);
  const std::int64_t group = N / k.dim(2);
  Doubles L(Shape{B, N, Tq});
  std::vector<double> weights;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t n = 0; n < N; ++n) {
      for (std::int64_t r = 0; r < Tq; ++r) {
        L.values[static_cast<std::size_t>((b * N + n) * Tq + r)] =
            weights_of(weights, K, Q.row(b, r, n), r + Tk - Tq, b, n / group, rule);
        for (std::int64_t j = 0; j < Tk; ++j) {
          const double weight = weights[static_cast<std::size_t>(j)];
          if (weight != 0) add_scaled(O.row(b, r, n), weight, V.row(b, j, n / group), H);
        }
      }
    }
  }
  O.store("o", o);
  L.store("lse", lse);
}

// Takes nothing from o and lse: the softmax is made anew, so that an error of a forward pass does
// not reach the gradients it is compared with.
void attention_backward(View dq, View dk, View dv, ConstView do_, ConstView q, ConstView k,
                        ConstView v, ConstView, ConstView, const AttentionRule& rule) {
  Doubles Q("q", q), K("k", k), V("v", v), dO("do", do_);
  Doubles dQ(q.shape()), dK(k.shape()), dV(v.shape());
  const std::int64_t B = q.dim(0), T = q.dim(1), N = q.dim(2), H = q.dim(3);
  const std::int64_t group = N / k.dim(2);
  std::vector<double> weights, dweights(static_cast<std::size_t>(T));
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t n = 0; n < N; ++n) {
      const std::int64_t head = n / group;
      for (std::int64_t i = 0; i < T; ++i) {
        weights_of(weights, K, Q.row(b, i, n), i, b, head, rule);
        double mean = 0;  // of dweights under the weights: what softmax takes from each
        for (std::int64_t j = 0; j < T; ++j) {
          const auto at = static_cast<std::size_t>(j);
          if (weights[at] == 0) continue;
          dweights[at] = dot(dO.row(b, i, n), V.row(b, j, head), H);
          mean += weights[at] * dweights[at];
        }
        for (std::int64_t j = 0; j < T; ++j) {
          const auto at = static_cast<std::size_t>(j);
          if (weights[at] == 0) continue;
          const double dscore =
              static_cast<double>(rule.scale) * weights[at] * (dweights[at] - mean);
          add_scaled(dV.row(b, j, head), weights[at], dO.row(b, i, n), H);
          add_scaled(dK.row(b, j, head), dscore, Q.row(b, i, n), H);
          add_scaled(dQ.row(b, i, n), dscore, K.row(b, j, head), H);
        }
      }
    }
  }
  dQ.store("dq", dq);
  dK.store("dk", dk);
  dV.store("dv", dv);
}

}  // namespace mixspan::oracle
