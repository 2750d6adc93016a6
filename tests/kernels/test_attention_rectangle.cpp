// Attention of a stretch of queries over a stretch of keys against the oracle, and the sum of such
// rectangles against the whole.
#include <gtest/gtest.h>

#include "tests/kernels/attention_text.h"

namespace mixspan::test {
namespace {

struct Rectangle {
  Range queries, keys;
  std::string str() const {
    return fmt::format("queries [{}, {}) keys [{}, {})", queries.begin, queries.end, keys.begin,
                       keys.end);
  }
};

class AttentionRectangle : public testing::TestWithParam<Isa> {
 protected:
  Exec exec(TestExec& test) const { return with_isa(test, GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Isas, AttentionRectangle, testing::ValuesIn(runnable_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

// The oracle over one rectangle of a text.
OracleOutputs oracle_outputs(const Text& text, const Rectangle& r) {
  return {text.rows(text.inputs.q, r.queries), text.rows(text.inputs.k, r.keys),
          text.rows(text.inputs.v, r.keys), text.rule(r.queries, r.keys)};
}
OracleGradients oracle_gradients(const Text& text, const Rectangle& r, ConstView o, ConstView lse) {
  return {text.rows(text.inputs.do_, r.queries),
          text.rows(text.inputs.q, r.queries),
          text.rows(text.inputs.k, r.keys),
          text.rows(text.inputs.v, r.keys),
          o,
          lse,
          text.rule(r.queries, r.keys)};
}

// The rows of (.., n) numbers that are 0 in `want` but not in `got`.
int rows_not_zero(const Tensor& got, const Tensor& want) {
  const std::int64_t n = want.shape()[3];
  int wrong = 0;
  for (std::int64_t i = 0; i < want.size(); i += n) {
    const double* w = want.data<double>() + i;
    const float* g = got.data<float>() + i;
    const auto zero = [](auto x) { return x == 0; };
    wrong += std::all_of(w, w + n, zero) && !std::all_of(g, g + n, zero);
  }
  return wrong;
}

// o of the oracle is 0 where a row reads no key, its dv where no row reads the key.
std::string unread_differ(const Part& got, const OracleOutputs& o, const OracleGradients& g) {
  const int wrong[] = {rows_not_zero(got.o, o.o), rows_not_zero(got.dq, o.o),
                       rows_not_zero(got.dk, g.dv), rows_not_zero(got.dv, g.dv)};
  if (wrong[0] + wrong[1] + wrong[2] + wrong[3] == 0) return "";
  return fmt::format("unread but not 0: {} rows of o, {} of dq, {} of dk, {} of dv\n", wrong[0],
                     wrong[1], wrong[2], wrong[3]);
}

// What differs from the oracle over rectangle r, whose gradients are made from o and lse.
std::string part_differs(Part part, const Text& text, const Rectangle& r,
                         const OracleOutputs& outputs, ConstView o, ConstView lse) {
  OracleGradients gradients = oracle_gradients(text, r, o, lse);
  const std::string found =
      outputs_differ(part.o, part.lse, outputs) + unread_differ(part, outputs, gradients);
  return found + gradients_differ(part.dq, part.dk, part.dv, copy_of_rows(text.inputs.q, r.queries),
                                  copy_of_rows(text.inputs.v, r.keys), std::move(gradients));
}

// Gradients from the o and lse of all keys, and from those of the rectangle alone.
void expect_like_oracle(const std::vector<Isa>& isas, const Text& text, const Rectangle& r) {
  SCOPED_TRACE(text.span.str() + " " + r.str());
  TestExec test;
  const OracleOutputs outputs = oracle_outputs(text, r);
  for (const Isa isa : isas) {
    const Exec ex = with_isa(test, isa);
    EXPECT_EQ(part_differs(text.run(ex, r.queries, r.keys), text, r, outputs,
                           text.rows(text.all.o, r.queries),
                           text.all.lse.view().slice(2, r.queries.begin, r.queries.end)),
              "")
        << name_of(isa);
    Part part = text.forward(ex, r.queries, r.keys);
    text.backward(ex, part, r.queries, r.keys, part.o, part.lse);
    EXPECT_EQ(part_differs(std::move(part), text, r, outputs, outputs.o, outputs.lse), "")
        << name_of(isa) << ", alone";
  }
}

// Keys that end before the queries begin, begin with them, or go on after them; one row, one key;
// cuts beside and across tiles. With short spans some of them hold no visible pair.
constexpr Rectangle kRectangles[] = {
    {{0, 260}, {0, 260}},    {{130, 260}, {0, 130}},   {{130, 260}, {65, 130}},
    {{128, 192}, {64, 128}}, {{128, 256}, {128, 256}}, {{67, 130}, {3, 66}},
    {{200, 201}, {0, 260}},  {{200, 201}, {200, 201}}, {{200, 201}, {10, 11}},
    {{0, 1}, {0, 260}},      {{100, 260}, {37, 260}},  {{100, 163}, {100, 260}},
    {{70, 75}, {0, 200}},    {{250, 260}, {0, 60}},    {{5, 260}, {4, 9}},
    {{64, 260}, {0, 64}},    {{1, 259}, {1, 258}},
};

TEST(AttentionRectangles, EqualTheOracleForEverySpan) {
  for (const AnySpan& span : awkward_spans(260)) {
    const Text text({1, 260, 260, 1, 1, 16}, span, {});
    for (const Rectangle& r : kRectangles) expect_like_oracle(runnable_isas(), text, r);
  }
}

TEST(AttentionRectangles, EqualTheOracleWithinDocuments) {
  for (const AnySpan& span : awkward_spans(260)) {
    const Text text({2, 260, 260, 2, 1, 13}, span, {40, 1, 90, 17});
    for (const Rectangle& r : kRectangles) expect_like_oracle(runnable_isas(), text, r);
  }
}

// Tiles of keys that none, one or many of the segments of queries read.
TEST(AttentionRectangles, EqualTheOracleAcrossSegmentsOfQueries) {
  for (const AnySpan& span :
       {AnySpan(FullSpan{}), AnySpan(SlidingSpan{300}), AnySpan(BlockSpan{100, 1})}) {
    for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{}, {330, 270}}) {
      const Text text({1, 600, 600, 2, 1, 16}, span, lengths);
      for (const Rectangle& r : {Rectangle{{30, 600}, {0, 600}}, Rectangle{{130, 600}, {37, 130}},
                                 Rectangle{{80, 590}, {80, 600}}}) {
        expect_like_oracle(runnable_isas(), text, r);
      }
    }
  }
}

// y[:, rows] += x for contiguous f32 tensors of rank 4.
void add_rows(Tensor& y, Range rows, const Tensor& x) {
  const Shape& s = y.shape();
  const std::int64_t row = s[2] * s[3], n = rows.size() * row;
  for (std::int64_t b = 0; b < s[0]; ++b) {
    float* to = y.data<float>() + (b * s[1] + rows.begin) * row;
    for (std::int64_t i = 0; i < n; ++i) to[i] += x.data<float>()[b * n + i];
  }
}

struct Gradients {
  explicit Gradients(const AttentionTensors& t)
      : dq(t.q.shape()), dk(t.k.shape()), dv(t.v.shape()) {}
  void add(const Part& part, const Rectangle& r) {
    add_rows(dq, r.queries, part.dq);
    add_rows(dk, r.keys, part.dk);
    add_rows(dv, r.keys, part.dv);
  }
  Tensor dq, dk, dv;
};

std::string whole_differs(Gradients& sum, const Text& text) {
  const Rectangle whole{{0, text.T()}, {0, text.T()}};
  return gradients_differ(sum.dq, sum.dk, sum.dv, text.inputs.q, text.inputs.v,
                          oracle_gradients(text, whole, text.all.o, text.all.lse));
}

TEST_P(AttentionRectangle, GradientsOfTheStretchesOfKeysAddUp) {
  TestExec test;
  for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{}, {70, 30, 110}}) {
    for (const AnySpan& span : awkward_spans(260)) {
      const Text text({2, 260, 260, 4, 2, 16}, span, lengths);
      Gradients sum(text.inputs);
      for (std::size_t c = 1; c < std::size(kCuts); ++c) {
        const Range keys{kCuts[c - 1], kCuts[c]};
        const std::int64_t middle = (keys.begin + 260) / 2 + 7;
        for (const Range queries : {Range{keys.begin, middle}, Range{middle, 260}}) {
          if (queries.empty()) continue;
          sum.add(text.run(exec(test), queries, keys), {queries, keys});
        }
      }
      EXPECT_EQ(whole_differs(sum, text), "") << span.str();
    }
  }
}

// Each chunk of queries with the keys before it that it reads, as far as the span reaches.
TEST_P(AttentionRectangle, ChunksWithTheRowsBeforeThemAreTheWhole) {
  TestExec test;
  for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{}, {70, 30, 110}}) {
    for (const AnySpan& span : awkward_spans(260)) {
      const Text text({2, 260, 260, 4, 2, 16}, span, lengths);
      Gradients sum(text.inputs);
      for (std::size_t c = 1; c < std::size(kCuts); ++c) {
        const Range queries{kCuts[c - 1], kCuts[c]}, keys{span.lo(queries.begin), queries.end};
        const Rectangle r{queries, keys};
        SCOPED_TRACE(span.str() + " " + r.str());
        const Part part = text.run(exec(test), queries, keys);
        EXPECT_EQ(differs(part.o, text.rows(text.all.o, queries), kAttentionForward), "");
        EXPECT_EQ(differs(part.lse, text.all.lse.view().slice(2, queries.begin, queries.end),
                          kAttentionForward),
                  "");
        sum.add(part, r);
      }
      EXPECT_EQ(whole_differs(sum, text), "") << span.str();
    }
  }
}

TEST_P(AttentionRectangle, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const AnySpan& span :
       {AnySpan(FullSpan{}), AnySpan(SlidingSpan{100}), AnySpan(BlockSpan{70, 1})}) {
    const Text text({1, 700, 700, 4, 2, 16}, span, {350, 120});
    for (const Rectangle& r : {Rectangle{{150, 690}, {20, 600}}, Rectangle{{350, 700}, {0, 350}}}) {
      TestExec one(1);
      const Part want = text.run(exec(one), r.queries, r.keys);
      for (const int threads : {2, 4}) {
        TestExec test(threads);
        const Part got = text.run(exec(test), r.queries, r.keys);
        EXPECT_EQ(bits_differ(got.o, want.o) + bits_differ(got.lse, want.lse) +
                      bits_differ(got.dq, want.dq) + bits_differ(got.dk, want.dk) +
                      bits_differ(got.dv, want.dv),
                  "")
            << span.str() << " " << r.str() << ", threads: " << threads;
      }
    }
  }
}

// The comparison with the oracle notices rows or keys that are taken for their neighbours.
TEST_P(AttentionRectangle, OffsetsThatAreOffByOneAreNoticed) {
  TestExec test;
  const Rectangle right{{70, 150}, {40, 130}};
  for (const AnySpan& span :
       {AnySpan(SlidingSpan{50}), AnySpan(BlockSpan{50}), AnySpan(BlockSpan{30, 1})}) {
    const Text text({1, 160, 160, 2, 1, 16}, span, {});
    for (const auto [query, key] : {Range{1, 0}, Range{-1, 0}, Range{0, 1}, Range{0, -1}}) {
      AttentionTensors t({1, right.queries.size(), right.keys.size(), 2, 1, 16});
      const AttentionRule wrong{span, 0.25f, {}, 70 + query, 40 + key};
      run(exec(test), t, wrong);
      const std::string found = differs_from_oracle(t, {span, 0.25f, {}, 70, 40});
      for (const char* name : {"o:", "lse:", "dq:", "dk:", "dv:"}) {
        EXPECT_NE(found.find(name), std::string::npos)
            << span.str() << " " << query << " " << key << ": " << name << " not noticed";
      }
    }
  }
}

TEST_P(AttentionRectangle, MayHaveNoKeysOrNoQueries) {
  TestExec test;
  for (const auto& [Tq, Tk] : {std::pair{70, 0}, std::pair{0, 70}}) {
    AttentionTensors t({2, Tq, Tk, 2, 1, 16});
    run(exec(test), t, {FullSpan{}, 1.0f, {}, 9, 9});
    for (const Tensor* x : {&t.o, &t.dq, &t.dk, &t.dv}) {
      EXPECT_EQ(bits_differ(*x, Tensor(x->shape())), "");
    }
    for (std::int64_t i = 0; i < t.lse.size(); ++i) EXPECT_EQ(t.lse.data<float>()[i], -INFINITY);
  }
}

TEST_P(AttentionRectangle, RefusesKeysThatBeginPastTheQueries) {
  TestExec test;
  AttentionTensors t({1, 4, 4, 1, 1, 16});
  EXPECT_THROW(run(exec(test), t, {FullSpan{}, 1.0f, {}, 3, 4}), Error);
  EXPECT_THROW(run(exec(test), t, {FullSpan{}, 1.0f, {}, 3, -1}), Error);
  EXPECT_NO_THROW(run(exec(test), t, {FullSpan{}, 1.0f, {}, 3, 3}));
}

TEST_P(AttentionRectangle, RefusesDocumentsThatStartPastTheRowsPosition) {
  TestExec test;
  AttentionTensors t({1, 2, 4, 1, 1, 16});
  Tensor start({1, 2}, DType::i32);
  start.data<std::int32_t>()[0] = 10;
  start.data<std::int32_t>()[1] = 11;
  EXPECT_NO_THROW(run(exec(test), t, {FullSpan{}, 1.0f, start, 10, 8}));
  EXPECT_THROW(run(exec(test), t, {FullSpan{}, 1.0f, start, 9, 8}), Error);
}

}  // namespace
}  // namespace mixspan::test
