#include <gtest/gtest.h>

#include <cmath>

#include "kernels/attention.h"
#include "tests/kernels/attention_cases.h"
#include "tests/support/close.h"

namespace mixspan::test {
namespace {

// sum(o * do): a number whose gradients are what attention_backward gives for do.
double loss_of(AttentionTensors& t, const AttentionRule& rule) {
  oracle::attention_forward(t.o, t.lse, t.q, t.k, t.v, rule);
  double sum = 0;
  for (std::int64_t i = 0; i < t.o.size(); ++i)
    sum += t.o.data<double>()[i] * t.do_.data<double>()[i];
  return sum;
}

Tensor central_differences(AttentionTensors& t, Tensor& x, const AttentionRule& rule) {
  constexpr double step = 1e-5;
  Tensor gradient(x.shape(), DType::f64);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    double& element = x.data<double>()[i];
    const double kept = element;
    element = kept + step;
    const double above = loss_of(t, rule);
    element = kept - step;
    const double below = loss_of(t, rule);
    element = kept;
    gradient.data<double>()[i] = (above - below) / (2 * step);
  }
  return gradient;
}

void expect_gradients(const AttentionSize& size, const AttentionRule& rule) {
  SCOPED_TRACE(size.str() + " " + rule.span.str());
  AttentionTensors t(size, DType::f64);
  oracle::attention_forward(t.o, t.lse, t.q, t.k, t.v, rule);
  oracle::attention_backward(t.dq, t.dk, t.dv, t.do_, t.q, t.k, t.v, t.o, t.lse, rule);
  EXPECT_EQ(differs(t.dq, central_differences(t, t.q, rule), kFiniteDifference), "");
  EXPECT_EQ(differs(t.dk, central_differences(t, t.k, rule), kFiniteDifference), "");
  EXPECT_EQ(differs(t.dv, central_differences(t, t.v, rule), kFiniteDifference), "");
}

TEST(AttentionOracle, GradientsAreThoseOfCentralDifferences) {
  for (const AnySpan& span : awkward_spans(13)) {
    expect_gradients({1, 13, 13, 2, 1, 3}, {span, 0.7f, {}});
  }
}

TEST(AttentionOracle, GradientsStayWithinDocuments) {
  const Tensor start = documents(2, 11, {4, 1, 3});
  for (const AnySpan& span : awkward_spans(11)) {
    expect_gradients({2, 11, 11, 2, 2, 2}, {span, 1.0f, start});
  }
}

TEST(AttentionOracle, OneKeyGivesItsValue) {
  AttentionTensors t({1, 5, 5, 1, 1, 4});
  oracle::attention_forward(t.o, t.lse, t.q, t.k, t.v, {SlidingSpan{1}, 0.5f, {}});
  EXPECT_EQ(bits_differ(t.o, t.v), "");
}

TEST(AttentionOracle, EqualKeysGiveTheMeanOfTheValuesAndTheLogOfTheirNumber) {
  AttentionTensors t({1, 6, 6, 1, 1, 2}, DType::f64);
  fill_zero(t.k);
  oracle::attention_forward(t.o, t.lse, t.q, t.k, t.v, {SlidingSpan{3}, 1.0f, {}});
  const double* v = t.v.data<double>();
  EXPECT_NEAR(t.o.data<double>()[5 * 2 + 1], (v[3 * 2 + 1] + v[4 * 2 + 1] + v[5 * 2 + 1]) / 3,
              1e-15);
  EXPECT_NEAR(t.lse.data<double>()[5], std::log(3.0), 1e-15);
  EXPECT_NEAR(t.lse.data<double>()[0], 0.0, 1e-15);
}

TEST(AttentionOracle, ALaterChunkIsTheEndOfTheWhole) {
  const Tensor start = documents(2, 17, {9, 5});
  for (const AnySpan& span : awkward_spans(17)) {
    const AttentionRule rule{span, 0.6f, start};
    AttentionTensors whole({2, 17, 17, 4, 2, 3}, DType::f64);
    oracle::attention_forward(whole.o, whole.lse, whole.q, whole.k, whole.v, rule);
    Tensor o = poisoned_tensor({2, 5, 4, 3}, DType::f64),
           lse = poisoned_tensor({2, 4, 5}, DType::f64);
    oracle::attention_forward(o, lse, whole.q.view().slice(1, 12, 17), whole.k, whole.v,
                              {span, 0.6f, start.view().slice(1, 12, 17), 12});
    EXPECT_EQ(bits_differ(o, whole.o.view().slice(1, 12, 17)), "") << span.str();
  }
}

}  // namespace
}  // namespace mixspan::test
