// The tiled attention against the oracle.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/attention.h"
#include "tests/kernels/attention_against_oracle.h"

namespace mixspan::test {
namespace {

class Attention : public testing::TestWithParam<Isa> {
 protected:
  Exec exec(TestExec& test) const { return with_isa(test, GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Isas, Attention, testing::ValuesIn(runnable_isas()),
                         [](const auto& isa) { return std::string(name_of(isa.param)); });

// Lengths around the tile of 64 and the strips within it, and one beyond two segments.
TEST_P(Attention, EqualsTheOracleForEverySpanAndLength) {
  TestExec test;
  for (const std::int64_t T : {1, 2, 5, 63, 64, 65, 130, 197}) {
    for (const AnySpan& span : awkward_spans(T)) {
      const AttentionSize size{1, T, T, 2, 2, 32};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionTensors t(size);
      const AttentionRule rule{span, scale_for(32), {}};
      run(exec(test), t, rule);
      EXPECT_EQ(differs_from_oracle(t, rule), "");
    }
  }
}

TEST_P(Attention, EqualsTheOracleForEveryHeadSize) {
  TestExec test;
  for (const std::int64_t H : {32, 40, 64, 80, 128, 8, 13, 1}) {
    for (const AnySpan& span :
         {AnySpan(FullSpan{}), AnySpan(SlidingSpan{37}), AnySpan(BlockSpan{50, 1})}) {
      const AttentionSize size{2, 141, 141, 2, 1, H};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionTensors t(size);
      const AttentionRule rule{span, scale_for(H), {}};
      run(exec(test), t, rule);
      EXPECT_EQ(differs_from_oracle(t, rule), "");
    }
  }
}

TEST_P(Attention, EqualsTheOracleAcrossSegmentsOfQueries) {
  TestExec test;
  for (const AnySpan& span :
       {AnySpan(FullSpan{}), AnySpan(SlidingSpan{300}), AnySpan(BlockSpan{100, 1})}) {
    const AttentionSize size{1, 600, 600, 4, 2, 32};
    SCOPED_TRACE(size.str() + " " + span.str());
    AttentionTensors t(size);
    const AttentionRule rule{span, scale_for(32), {}};
    run(exec(test), t, rule);
    EXPECT_EQ(differs_from_oracle(t, rule), "");
  }
}

TEST_P(Attention, EqualsTheOracleWithinDocuments) {
  TestExec test;
  for (const std::int64_t T : {65, 150, 330}) {
    const Tensor start = documents(2, T, {40, 1, 90, 17});
    for (const AnySpan& span : awkward_spans(T)) {
      const AttentionSize size{2, T, T, 2, 1, 40};
      SCOPED_TRACE(size.str() + " " + span.str());
      AttentionTensors t(size);
      const AttentionRule rule{span, scale_for(40), start};
      run(exec(test), t, rule);
      EXPECT_EQ(differs_from_oracle(t, rule), "");
    }
  }
}

TEST_P(Attention, EqualsTheOracleForALaterChunkOfQueries) {
  TestExec test;
  for (const std::int64_t Tq : {1, 3, 64, 70, 129}) {
    for (const std::int64_t Tk : {129, 200}) {
      const std::int64_t first = Tk - Tq;
      const Tensor start = documents(2, Tk, {100, 30});
      for (const AnySpan& span : awkward_spans(Tk)) {
        const AttentionSize size{2, Tq, Tk, 4, 2, 32};
        SCOPED_TRACE(size.str() + " " + span.str());
        AttentionTensors t(size);
        const AttentionRule rule{span, scale_for(32), start.view().slice(1, first, Tk), first};
        run(exec(test), t, rule);
        EXPECT_EQ(differs_from_oracle(t, rule), "");
      }
    }
  }
}

TEST_P(Attention, ReadsAndWritesViewsIntoAPackedTensor) {
  TestExec test;
  const std::int64_t B = 2, T = 150, N = 3, H = 40, C = N * H;
  const AttentionRule rule{SlidingSpan{60}, scale_for(H), {}};
  AttentionTensors t({B, T, T, N, N, H});
  run(exec(test), t, rule);
  Tensor qkv({B, T, 3 * C}), dqkv = poisoned_tensor({B, T, 3 * C});
  const auto part = [&](Tensor& x, std::int64_t i) {
    return x.view().slice(2, i * C, (i + 1) * C).split(2, N, H);
  };
  const Tensor* parts[] = {&t.q, &t.k, &t.v};
  for (std::int64_t row = 0; row < B * T; ++row) {
    for (std::int64_t i = 0; i < 3; ++i) {
      std::copy_n(parts[i]->data<float>() + row * C, C, qkv.data<float>() + (row * 3 + i) * C);
    }
  }
  Tensor o = poisoned_tensor(t.o.shape()), lse = poisoned_tensor(t.lse.shape());
  attention_forward(exec(test), o, lse, part(qkv, 0), part(qkv, 1), part(qkv, 2), rule);
  EXPECT_EQ(bits_differ(o, t.o), "");
  attention_backward(exec(test), part(dqkv, 0), part(dqkv, 1), part(dqkv, 2), t.do_, part(qkv, 0),
                     part(qkv, 1), part(qkv, 2), o, lse, rule);
  EXPECT_EQ(bits_differ(part(dqkv, 0), t.dq), "");
  EXPECT_EQ(bits_differ(part(dqkv, 1), t.dk), "");
  EXPECT_EQ(bits_differ(part(dqkv, 2), t.dv), "");
}

TEST_P(Attention, ASpanAsLongAsTheTextIsFullBitForBit) {
  TestExec test;
  const std::int64_t T = 330;
  AttentionTensors full({1, T, T, 2, 1, 32});
  run(exec(test), full, {FullSpan{}, 0.2f, {}});
  for (const AnySpan& span :
       {AnySpan(SlidingSpan{T}), AnySpan(SlidingSpan{5 * T}), AnySpan(BlockSpan{T}),
        AnySpan(BlockSpan{T + 64}), AnySpan(BlockSpan{(T + 1) / 2, 1})}) {
    AttentionTensors t({1, T, T, 2, 1, 32});
    run(exec(test), t, {span, 0.2f, {}});
    EXPECT_EQ(same_bits(t, full), "") << span.str();
  }
}

TEST_P(Attention, GivesTheSameBitsForAnyNumberOfThreads) {
  const std::int64_t T = 600;
  const Tensor start = documents(1, T, {350, 120});
  for (const AnySpan& span :
       {AnySpan(FullSpan{}), AnySpan(SlidingSpan{100}), AnySpan(BlockSpan{70, 1})}) {
    TestExec one(1);
    AttentionTensors want({1, T, T, 4, 2, 40});
    run(exec(one), want, {span, 0.2f, start});
    for (const int threads : {1, 2, 3, 5}) {
      TestExec test(threads);
      AttentionTensors t({1, T, T, 4, 2, 40});
      run(exec(test), t, {span, 0.2f, start});
      EXPECT_EQ(same_bits(t, want), "") << span.str() << ", threads: " << threads;
    }
  }
}

// Rows [begin, end) of dim 1 of x become large but finite.
void blow_up(Tensor& x, std::int64_t begin, std::int64_t end) {
  const std::int64_t row = x.size() / x.shape()[1];
  std::fill(x.data<float>() + begin * row, x.data<float>() + end * row, 3e37f);
}

TEST_P(Attention, KeysOutsideASpanChangeNoBit) {
  TestExec test;
  const std::int64_t T = 300;
  for (const AnySpan& span :
       {AnySpan(SlidingSpan{70}), AnySpan(BlockSpan{50}), AnySpan(BlockSpan{50, 1})}) {
    AttentionTensors before({1, T, T, 2, 2, 32});
    run(exec(test), before, {span, 0.2f, {}});
    for (const std::int64_t i : {100, 149, 150, 151, 299}) {
      AttentionTensors t({1, T, T, 2, 2, 32});
      for (Tensor* x : {&t.k, &t.v}) {
        blow_up(*x, 0, span.lo(i));
        blow_up(*x, i + 1, T);
      }
      run(exec(test), t, {span, 0.2f, {}});
      const auto row = [&](const Tensor& x) { return x.view().slice(1, i, i + 1); };
      EXPECT_EQ(bits_differ(row(t.o), row(before.o)), "") << span.str() << " query " << i;
      EXPECT_EQ(bits_differ(row(t.dq), row(before.dq)), "") << span.str() << " query " << i;
      EXPECT_EQ(bits_differ(t.lse.view().slice(2, i, i + 1), before.lse.view().slice(2, i, i + 1)),
                "");
    }
  }
}

// With no gradient from the queries that read a key, nothing reaches it, exactly.
TEST_P(Attention, AKeyWhoseReadersAreSilentGetsNoGradient) {
  TestExec test;
  const std::int64_t T = 200, W = 70, key = 61;
  AttentionTensors t({1, T, T, 2, 1, 32});
  const std::int64_t row = 2 * 32;
  std::fill(t.do_.data<float>() + key * row, t.do_.data<float>() + (key + W) * row, 0.0f);
  run(exec(test), t, {SlidingSpan{W}, 0.2f, {}});
  Tensor zero({1, 1, 1, 32});
  EXPECT_EQ(bits_differ(t.dv.view().slice(1, key, key + 1), zero), "");
  EXPECT_NE(bits_differ(t.dv.view().slice(1, key + 1, key + 2), zero), "");
  EXPECT_NE(bits_differ(t.dv.view().slice(1, key - 1, key), zero), "");
  EXPECT_EQ(bits_differ(t.dk.view().slice(1, key, key + 1), zero), "");
}

TEST_P(Attention, BearsLargeScoresAndEqualOnes) {
  TestExec test;
  for (const double scale : {0.0, 30.0}) {
    AttentionTensors t({1, 150, 150, 1, 1, 32});
    t.q = random_tensor(t.q.shape(), 5, scale);
    const AttentionRule rule{SlidingSpan{90}, 1.0f, {}};
    run(exec(test), t, rule);
    Tensor o(t.o.shape(), DType::f64), lse(t.lse.shape(), DType::f64);
    oracle::attention_forward(o, lse, t.q, t.k, t.v, rule);
    // Scores of some hundreds are themselves only known to 1e-4 in fp32.
    const Tolerance wide{scale == 0.0 ? kAttentionForward.l2 : 1e-4,
                         scale == 0.0 ? kAttentionForward.max : 1e-3};
    EXPECT_EQ(differs(t.o, o, wide), "") << scale;
    EXPECT_TRUE(distance(t.dq, t.dq).finite);
    EXPECT_TRUE(distance(t.dk, t.dk).finite);
  }
}

// The comparison with the oracle notices each slip at a range's edge.
TEST_P(Attention, EdgesThatAreOffByOneAreNoticed) {
  TestExec test;
  const std::int64_t T = 150;
  const struct {
    AnySpan right, wrong;
  } mutants[] = {
      {SlidingSpan{64}, SlidingSpan{63}},  {SlidingSpan{64}, SlidingSpan{65}},
      {SlidingSpan{64}, SlidingSpan{128}}, {BlockSpan{50}, BlockSpan{49}},
      {BlockSpan{50}, BlockSpan{51}},      {BlockSpan{50}, BlockSpan{50, 1}},
      {BlockSpan{50, 1}, BlockSpan{50}},   {BlockSpan{64, 1}, BlockSpan{63, 1}},
      {FullSpan{}, SlidingSpan{T - 1}},    {FullSpan{}, BlockSpan{T - 1}},
      {SlidingSpan{1}, SlidingSpan{2}},
  };
  for (const auto& [right, wrong] : mutants) {
    AttentionTensors t({1, T, T, 2, 1, 32});
    run(exec(test), t, {wrong, 0.2f, {}});
    const std::string found = differs_from_oracle(t, {right, 0.2f, {}});
    for (const char* name : {"o:", "lse:", "dq:", "dk:", "dv:"}) {
      EXPECT_NE(found.find(name), std::string::npos)
          << right.str() << " computed as " << wrong.str() << ": " << name << " not noticed";
    }
  }
}

TEST_P(Attention, ADocumentStartThatIsOffByOneIsNoticed) {
  TestExec test;
  const std::int64_t T = 150;
  const Tensor right = documents(1, T, {70, 80}), wrong = documents(1, T, {71, 80});
  AttentionTensors t({1, T, T, 2, 1, 32});
  run(exec(test), t, {FullSpan{}, 0.2f, wrong});
  EXPECT_NE(differs_from_oracle(t, {FullSpan{}, 0.2f, right}), "");
}

TEST_P(Attention, RefusesDocumentStartsThatAreNotInOrder) {
  TestExec test;
  Tensor start({1, 4}, DType::i32);
  AttentionTensors t({1, 4, 4, 1, 1, 32});
  start.data<std::int32_t>()[1] = 2;
  EXPECT_THROW(run(exec(test), t, {FullSpan{}, 1.0f, start}), Error);
  start.data<std::int32_t>()[1] = 1;
  EXPECT_THROW(run(exec(test), t, {FullSpan{}, 1.0f, start}), Error);
}

TEST_P(Attention, ReleasesItsScratchMemory) {
  TestExec test;
  AttentionTensors t({1, 300, 300, 2, 1, 40});
  run(exec(test), t, {FullSpan{}, 0.2f, {}});
  EXPECT_EQ(test.arena.used_bytes(), 0u);
}

// Scratch memory grows with T, not with T squared.
TEST_P(Attention, NeverHoldsAllScores) {
  TestExec test;
  const auto used = [&](std::int64_t T) {
    Arena arena("probe");
    Exec ex{.device = {}, .threads = test.pool, .scratch = arena, .isa = GetParam()};
    AttentionTensors t({1, T, T, 1, 1, 32});
    run(ex, t, {SlidingSpan{64}, 0.2f, {}});
    return arena.high_water_bytes();
  };
  EXPECT_LT(used(4096), std::size_t{4096} * 4096 * sizeof(float) / 8);
  EXPECT_LT(used(4096), 3 * used(2048));
}

}  // namespace
}  // namespace mixspan::test
