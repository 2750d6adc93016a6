// Attention with products of bf16 against the fp64 oracle, by the error of a plain attention that
// rounds where it must: inputs and weights to bf16, sums in fp32. (The rule of FlashAttention's own
// tests.)
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/attention_against_oracle.h"

namespace mixspan::test {
namespace {

class Bf16Attention : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_avx512_bf16()) GTEST_SKIP() << "this processor has no AVX512-BF16";
  }
  Exec exec(TestExec& test) const {
    Exec ex = test.exec();
    ex.precision = Precision::bf16;
    return ex;
  }
};

float rounded(float x) { return static_cast<float>(bf16(x)); }
void round(Tensor& t) {
  for (std::int64_t i = 0; i < t.size(); ++i) t.data<float>()[i] = rounded(t.data<float>()[i]);
}

// Results of the plain attention, as tensors like the kernel's.
class Plain {
 public:
  Plain(const AttentionTensors& t, const AttentionRule& rule)
      : t_(t), rule_(rule), o(t.o.shape()), dq(t.dq.shape()), dk(t.dk.shape()), dv(t.dv.shape()) {
    const std::int64_t B = t.q.shape()[0], Tq = t.q.shape()[1], N = t.q.shape()[2];
    for (std::int64_t b = 0; b < B; ++b) {
      for (std::int64_t n = 0; n < N; ++n) {
        for (std::int64_t i = 0; i < Tq; ++i) row(b, n, i);
      }
    }
  }

 private:
  float* at(Tensor& x, std::int64_t b, std::int64_t i, std::int64_t n) const {
    return x.data<float>() + ((b * x.shape()[1] + i) * x.shape()[2] + n) * x.shape()[3];
  }
  const float* at(const Tensor& x, std::int64_t b, std::int64_t i, std::int64_t n) const {
    return at(const_cast<Tensor&>(x), b, i, n);
  }
  float dot(const float* a, const float* b) const {
    float sum = 0;
    for (std::int64_t h = 0; h < t_.q.shape()[3]; ++h) sum += a[h] * b[h];
    return sum;
  }
  void add(float* y, float weight, const float* x) const {
    for (std::int64_t h = 0; h < t_.q.shape()[3]; ++h) y[h] += weight * x[h];
  }

  void row(std::int64_t b, std::int64_t n, std::int64_t i) {
    const std::int64_t position = rule_.first_query + i, H = t_.q.shape()[3];
    const std::int64_t kv = n / (t_.q.shape()[2] / t_.k.shape()[2]);
    std::int64_t begin = rule_.span.lo(position);
    if (!rule_.document_start.empty()) {
      const std::int32_t* starts = rule_.document_start.data<std::int32_t>();
      begin = std::max<std::int64_t>(begin, starts[b * rule_.document_start.stride(0) + i]);
    }
    const float *q = at(t_.q, b, i, n), *do_ = at(t_.do_, b, i, n);
    std::vector<float> weights;
    float largest = -INFINITY, total = 0;
    for (std::int64_t j = begin; j <= position; ++j) {
      weights.push_back(rule_.scale * dot(q, at(t_.k, b, j, kv)));
      largest = std::max(largest, weights.back());
    }
    for (float& w : weights) total += w = std::exp(w - largest);
    float *out = at(o, b, i, n), *dq_row = at(dq, b, i, n);
    for (std::int64_t j = begin; j <= position; ++j) {
      add(out, rounded(weights[static_cast<std::size_t>(j - begin)]), at(t_.v, b, j, kv));
    }
    for (std::int64_t h = 0; h < H; ++h) out[h] /= total;
    const float delta = dot(do_, out);
    for (std::int64_t j = begin; j <= position; ++j) {
      const float weight = weights[static_cast<std::size_t>(j - begin)] / total;
      const float dscore = rule_.scale * weight * (dot(do_, at(t_.v, b, j, kv)) - delta);
      add(at(dv, b, j, kv), rounded(weight), do_);
      add(dq_row, rounded(dscore), at(t_.k, b, j, kv));
      add(at(dk, b, j, kv), rounded(dscore), q);
    }
  }

  const AttentionTensors& t_;
  const AttentionRule& rule_;

 public:
  Tensor o, dq, dk, dv;
};

AttentionTensors bf16_tensors(const AttentionSize& size) {
  AttentionTensors t(size);
  for (Tensor* x : {&t.q, &t.k, &t.v, &t.do_}) round(*x);
  return t;
}

void expect_close(const Exec& ex, AttentionTensors& t, const AttentionRule& rule) {
  run(ex, t, rule);
  const OracleOutputs want(t.q, t.k, t.v, rule);
  const OracleGradients grads(t.do_, t.q, t.k, t.v, want.o, want.lse, rule);
  const Plain plain(t, rule);
  EXPECT_EQ(worse_than_twice(t.o, plain.o, want.o, kBf16), "") << "o";
  EXPECT_EQ(worse_than_twice(t.dq, plain.dq, grads.dq, kBf16), "") << "dq";
  EXPECT_EQ(worse_than_twice(t.dk, plain.dk, grads.dk, kBf16), "") << "dk";
  EXPECT_EQ(worse_than_twice(t.dv, plain.dv, grads.dv, kBf16), "") << "dv";
  EXPECT_EQ(lse_differs(t.lse, want.lse), "");  // products of bf16 inputs are exact
}

TEST_F(Bf16Attention, IsAsGoodAsAPlainOneForEverySpanAndLength) {
  TestExec test;
  for (const std::int64_t T : {1, 2, 5, 63, 64, 65, 130, 197}) {
    for (const AnySpan& span : awkward_spans(T)) {
      const AttentionSize size{1, T, T, 2, 2, 32};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionTensors t = bf16_tensors(size);
      const AttentionRule rule{span, scale_for(32), {}};
      expect_close(exec(test), t, rule);
    }
  }
}

TEST_F(Bf16Attention, IsAsGoodAsAPlainOneForEveryHeadSize) {
  TestExec test;
  for (const std::int64_t H : {32, 40, 64, 80, 128, 8, 13, 1}) {
    for (const AnySpan& span :
         {AnySpan(FullSpan{}), AnySpan(SlidingSpan{37}), AnySpan(BlockSpan{50, 1})}) {
      const AttentionSize size{2, 141, 141, 2, 1, H};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionTensors t = bf16_tensors(size);
      const AttentionRule rule{span, scale_for(H), {}};
      expect_close(exec(test), t, rule);
    }
  }
}

TEST_F(Bf16Attention, IsAsGoodAsAPlainOneAcrossSegmentsAndWithinDocuments) {
  TestExec test;
  for (const bool cut : {false, true}) {
    const AttentionSize size{2, 600, 600, 4, 2, 32};
    const Tensor start = documents(2, 600, {40, 1, 290, 17});
    for (const AnySpan& span :
         {AnySpan(FullSpan{}), AnySpan(SlidingSpan{300}), AnySpan(BlockSpan{100, 1})}) {
      SCOPED_TRACE(size.str() + " " + span.str() + (cut ? " documents" : ""));
      AttentionTensors t = bf16_tensors(size);
      const AttentionRule rule{span, scale_for(32), cut ? start.view() : ConstView()};
      expect_close(exec(test), t, rule);
    }
  }
}

TEST_F(Bf16Attention, IsAsGoodAsAPlainOneForALaterChunkOfQueries) {
  TestExec test;
  for (const std::int64_t Tq : {1, 3, 64, 70, 129}) {
    const std::int64_t Tk = 200, first = Tk - Tq;
    for (const AnySpan& span : awkward_spans(Tk)) {
      const AttentionSize size{2, Tq, Tk, 4, 2, 32};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionTensors t = bf16_tensors(size);
      const AttentionRule rule{span, scale_for(32), {}, first};
      expect_close(exec(test), t, rule);
    }
  }
}

TEST_F(Bf16Attention, BitsDoNotDependOnThreadsOrStrides) {
  const std::int64_t B = 2, T = 333, N = 3, H = 40, C = N * H;
  const AttentionRule rule{SlidingSpan{130}, scale_for(H), {}};
  TestExec one(1);
  AttentionTensors want({B, T, T, N, N, H});
  run(exec(one), want, rule);
  for (const int threads : {2, 3, 5}) {
    TestExec test(threads);
    AttentionTensors t({B, T, T, N, N, H});
    run(exec(test), t, rule);
    EXPECT_EQ(same_bits(t, want), "") << threads;
  }
  Tensor qkv({B, T, 3 * C}), dqkv = poisoned_tensor({B, T, 3 * C});
  const auto part = [&](Tensor& x, std::int64_t i) {
    return x.view().slice(2, i * C, (i + 1) * C).split(2, N, H);
  };
  const Tensor* parts[] = {&want.q, &want.k, &want.v};
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t i = 0; i < 3; ++i) {
      std::copy_n(parts[i]->data<float>() + row * C, C, qkv.data<float>() + (row * 3 + i) * C);
    }
  }
  Tensor o = poisoned_tensor(want.o.shape()), lse = poisoned_tensor(want.lse.shape());
  attention_forward(exec(one), o, lse, part(qkv, 0), part(qkv, 1), part(qkv, 2), rule);
  EXPECT_EQ(bits_differ(o, want.o), "");
  attention_backward(exec(one), part(dqkv, 0), part(dqkv, 1), part(dqkv, 2), want.do_, part(qkv, 0),
                     part(qkv, 1), part(qkv, 2), o, lse, rule);
  EXPECT_EQ(bits_differ(part(dqkv, 0), want.dq), "");
  EXPECT_EQ(bits_differ(part(dqkv, 1), want.dk), "");
  EXPECT_EQ(bits_differ(part(dqkv, 2), want.dv), "");
}

// Keys and values that no query of a tile reads: NaN in tiles out of reach, huge numbers within.
TEST_F(Bf16Attention, KeysOutOfReachDoNotMatter) {
  TestExec test;
  const std::int64_t T = 256, H = 32;
  AttentionTensors clean({1, T, T, 1, 1, H}), dirty({1, T, T, 1, 1, H});
  for (std::int64_t i = 0; i < 100 * H; ++i) {
    dirty.k.data<float>()[i] = dirty.v.data<float>()[i] = i < 64 * H ? NAN : 1e30f;
  }
  const AttentionRule rule{SlidingSpan{20}, scale_for(H), {}};
  attention_forward(exec(test), clean.o, clean.lse, clean.q, clean.k, clean.v, rule);
  attention_forward(exec(test), dirty.o, dirty.lse, dirty.q, dirty.k, dirty.v, rule);
  const auto rest = [&](const Tensor& x) { return x.view().slice(1, 119, T); };
  EXPECT_EQ(bits_differ(rest(dirty.o), rest(clean.o)), "");
}

TEST(Bf16AttentionElsewhere, IsNotSilentlyDoneOtherwise) {
  TestExec test;
  Exec ex = with_isa(test, Isa::portable);
  ex.precision = Precision::bf16;
  AttentionTensors t({1, 8, 8, 1, 1, 8});
  const AttentionRule rule{FullSpan{}, 1.0f, {}};
  EXPECT_THROW(attention_forward(ex, t.o, t.lse, t.q, t.k, t.v, rule), Error);
}

}  // namespace
}  // namespace mixspan::test
