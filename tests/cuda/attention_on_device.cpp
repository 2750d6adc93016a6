#include "tests/cuda/attention_on_device.h"

#include <cmath>
#include <limits>

#include "tests/support/close.h"

namespace mixspan::test {

namespace {

Tensor random_of(Shape shape, std::uint64_t seed, DType dtype) {
  const Tensor x = random_tensor(shape, seed);
  return dtype == DType::f32 ? copy_of(x) : rounded_to(dtype, x);
}

float rounded(float x) { return static_cast<float>(bf16(x)); }

struct Row {
  const float* at;
  float dot(const float* other, std::int64_t H) const {
    float sum = 0;
    for (std::int64_t h = 0; h < H; ++h) sum += at[h] * other[h];
    return sum;
  }
};

const float* row_of(const Tensor& x, std::int64_t b, std::int64_t t, std::int64_t n) {
  const Shape& s = x.shape();
  return x.data<float>() + ((b * s[1] + t) * s[2] + n) * s[3];
}
float* row_of(Tensor& x, std::int64_t b, std::int64_t t, std::int64_t n) {
  const Shape& s = x.shape();
  return x.data<float>() + ((b * s[1] + t) * s[2] + n) * s[3];
}
void add_to(float* y, float factor, const float* x, std::int64_t H) {
  for (std::int64_t h = 0; h < H; ++h) y[h] += factor * x[h];
}

// Key rows that a query row reads, asked key by key.
bool reads(const AttentionInputs& in, std::int64_t b, std::int64_t r, std::int64_t s) {
  const std::int64_t i = in.first_query + r, j = in.first_key + s;
  if (!in.span.allows(i, j)) return false;
  const AttentionRule rule = in.rule();
  if (rule.document_start.empty()) return true;
  return j >= rule.document_start.data<std::int32_t>()[b * in.q.shape()[1] + r];
}

// One query row: its o, lse and dq, and its part of dk and dv.
void baseline_row(const AttentionInputs& in, AttentionOutputs& out, std::int64_t b, std::int64_t r,
                  std::int64_t n) {
  const std::int64_t Tk = in.k.shape()[1], H = in.q.shape()[3],
                     head = n / (in.q.shape()[2] / in.k.shape()[2]);
  const Row q{row_of(in.q, b, r, n)}, d_o{row_of(in.do_, b, r, n)};
  std::vector<std::int64_t> keys;
  std::vector<float> scores;
  float largest = -std::numeric_limits<float>::infinity(), total = 0;
  for (std::int64_t s = 0; s < Tk; ++s) {
    if (!reads(in, b, r, s)) continue;
    keys.push_back(s);
    scores.push_back(in.scale * q.dot(row_of(in.k, b, s, head), H));
    largest = std::max(largest, scores.back());
  }
  for (const float x : scores) total += std::exp(x - largest);
  const float lse = keys.empty() ? largest : largest + std::log(total);
  out.lse.data<float>()[(b * in.q.shape()[2] + n) * in.q.shape()[1] + r] = lse;
  float* o = row_of(out.o, b, r, n);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    add_to(o, rounded(std::exp(scores[i] - largest)), row_of(in.v, b, keys[i], head), H);
  }
  for (std::int64_t h = 0; h < H; ++h) o[h] = keys.empty() ? 0 : rounded(o[h] / total);
  const float delta = d_o.dot(o, H);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::int64_t s = keys[i];
    const float weight = std::exp(scores[i] - lse);
    const float gradient = rounded(weight * (d_o.dot(row_of(in.v, b, s, head), H) - delta));
    add_to(row_of(out.dv, b, s, head), rounded(weight), d_o.at, H);
    add_to(row_of(out.dk, b, s, head), in.scale * gradient, q.at, H);
    add_to(row_of(out.dq, b, r, n), in.scale * gradient, row_of(in.k, b, s, head), H);
  }
}

std::string named(const char* name, const std::string& found) {
  return found.empty() ? "" : fmt::format("{}: {}\n", name, found);
}

// Infinities must stand in the same places; elsewhere the difference is bounded.
std::string lse_differs(const Tensor& got, const Tensor& want, double bound) {
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double x = got.data<float>()[i], y = want.data<double>()[i];
    if (x == y) continue;
    if (!(std::abs(x - y) <= bound)) return fmt::format("element {} is {}, wanted {}", i, x, y);
  }
  return "";
}

}  // namespace

AttentionInputs::AttentionInputs(const AttentionSize& s, const AnySpan& of, DType dtype)
    : q(random_of({s.B, s.Tq, s.N, s.H}, 1, dtype)),
      k(random_of({s.B, s.Tk, s.K, s.H}, 2, dtype)),
      v(random_of({s.B, s.Tk, s.K, s.H}, 3, dtype)),
      do_(random_of({s.B, s.Tq, s.N, s.H}, 4, dtype)),
      span(of) {}

AttentionOutputs AttentionDeviceTest::run_on_device(const Exec& ex, const AttentionInputs& in,
                                                    DType dtype) const {
  const auto given = [&](const Tensor& x) { return upload(as_dtype(dtype, x)); };
  const Tensor q = given(in.q), k = given(in.k), v = given(in.v), d_o = given(in.do_);
  const AttentionRule host_rule = in.rule();
  const bool documents = !host_rule.document_start.empty();
  const Tensor start = documents ? upload(in.start) : Tensor();
  const AttentionRule rule = in.rule(documents ? start.view() : ConstView());
  const Shape& s = in.q.shape();
  Tensor o = poisoned(s, dtype), lse = poisoned({s[0], s[2], s[1]}), dq = poisoned(s, dtype),
         dk = poisoned(in.k.shape(), dtype), dv = poisoned(in.k.shape(), dtype);
  attention_forward(ex, o, lse, q, k, v, rule);
  attention_backward(ex, dq, dk, dv, d_o, q, k, v, o, lse, rule);
  const auto taken = [&](const Tensor& x) { return as_dtype(DType::f32, download(x)); };
  return {taken(o), taken(lse), taken(dq), taken(dk), taken(dv)};
}

AttentionOutputs run_oracle(const AttentionInputs& in) {
  const Shape &s = in.q.shape(), &kv = in.k.shape();
  const auto fresh = [](const Shape& shape) { return poisoned_tensor(shape, DType::f64); };
  AttentionOutputs out{fresh(s), fresh({s[0], s[2], s[1]}), fresh(s), fresh(kv), fresh(kv)};
  oracle::attention_forward(out.o, out.lse, in.q, in.k, in.v, in.rule());
  oracle::attention_backward(out.dq, out.dk, out.dv, in.do_, in.q, in.k, in.v, out.o, out.lse,
                             in.rule());
  return out;
}

AttentionOutputs run_baseline(const AttentionInputs& in) {
  const Shape &s = in.q.shape(), &kv = in.k.shape();
  AttentionOutputs out{Tensor(s), Tensor({s[0], s[2], s[1]}), Tensor(s), Tensor(kv), Tensor(kv)};
  for (std::int64_t b = 0; b < s[0]; ++b) {
    for (std::int64_t n = 0; n < s[2]; ++n) {
      for (std::int64_t r = 0; r < s[1]; ++r) baseline_row(in, out, b, r, n);
    }
  }
  for (Tensor* x : {&out.dq, &out.dk, &out.dv}) *x = rounded_to(DType::bf16, *x);
  return out;
}

std::string bf16_differs(const AttentionOutputs& got, const AttentionInputs& in) {
  const AttentionOutputs want = run_oracle(in), base = run_baseline(in);
  return named("o", worse_than_baseline(got.o, base.o, want.o)) +
         named("lse", lse_differs(got.lse, want.lse, kLseOfBf16)) +
         named("dq", worse_than_baseline(got.dq, base.dq, want.dq)) +
         named("dk", worse_than_baseline(got.dk, base.dk, want.dk)) +
         named("dv", worse_than_baseline(got.dv, base.dv, want.dv));
}

std::string f32_differs(const AttentionOutputs& got, const AttentionInputs& in) {
  const AttentionOutputs want = run_oracle(in);
  // Where each query reads one key alone, dq and dk are 0 by cancellation: nothing to be relative
  // to.
  const bool cancels = distance(Tensor(in.q.shape(), DType::f64), want.dq).l2 == 0;
  return named("o", differs(got.o, want.o, kAttentionForward)) +
         named("lse", lse_differs(got.lse, want.lse, kLseOfF32)) +
         named("dq", cancels ? "" : differs(got.dq, want.dq, kAttentionBackward)) +
         named("dk", cancels ? "" : differs(got.dk, want.dk, kAttentionBackward)) +
         named("dv", differs(got.dv, want.dv, kAttentionBackward));
}

std::string outputs_bits_differ(const AttentionOutputs& a, const AttentionOutputs& b) {
  return named("o", bits_differ(a.o, b.o)) + named("lse", bits_differ(a.lse, b.lse)) +
         named("dq", bits_differ(a.dq, b.dq)) + named("dk", bits_differ(a.dk, b.dk)) +
         named("dv", bits_differ(a.dv, b.dv));
}

}  // namespace mixspan::test
