// Products with operands rounded to bf16: exact products, fp32 sums.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/gelu.h"
#include "kernels/matmul.h"
#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::differs;
using test::kReduction;
using test::poisoned_tensor;
using test::random_tensor;
using test::TestExec;

struct Sizes {
  std::int64_t M, N, K;
};
// Around the edges of tiles (8 x 48), of what is packed at a time (16 x 32) and of items.
constexpr Sizes kSizes[] = {{1, 1, 1},     {1, 64, 17},  {3, 1, 1000},  {8, 48, 32},  {17, 3, 65},
                            {63, 65, 64},  {65, 63, 31}, {127, 95, 1},  {200, 17, 3}, {16, 96, 514},
                            {193, 49, 33}, {7, 47, 600}, {385, 145, 66}};

Exec in_bf16(TestExec& test, Isa isa = best_isa()) {
  Exec exec = test.exec();
  exec.precision = Precision::bf16;
  exec.isa = isa;
  return exec;
}

Tensor rounded(Tensor t) {
  for (std::int64_t i = 0; i < t.size(); ++i) {
    t.data<float>()[i] = static_cast<float>(bf16(t.data<float>()[i]));
  }
  return t;
}

// Numbers of bf16, so that an oracle which rounds nothing multiplies the same.
Tensor bf16_tensor(Shape shape, std::uint64_t seed, double scale = 1) {
  return rounded(random_tensor(shape, seed, scale));
}

Tensor stored(std::int64_t rows, std::int64_t cols, Transpose transpose, std::uint64_t seed) {
  return random_tensor(transpose == Transpose::yes ? Shape{cols, rows} : Shape{rows, cols}, seed);
}

constexpr Transpose kBoth[] = {Transpose::no, Transpose::yes};

TEST(Bf16Matmul, IsTheProductOfTheRoundedOperandsForEveryTransposition) {
  TestExec test(2);
  for (const auto [M, N, K] : kSizes) {
    for (const Transpose op_a : kBoth) {
      for (const Transpose op_b : kBoth) {
        const Tensor a = stored(M, K, op_a, 1), b = stored(K, N, op_b, 2);
        Tensor got = poisoned_tensor({M, N}), want({M, N}, DType::f64);
        const Tensor ra = rounded(test::copy_of(a)), rb = rounded(test::copy_of(b));
        matmul(in_bf16(test), got, op_a, a, op_b, b);
        oracle::matmul(want, op_a, ra, op_b, rb, Accumulate::overwrite);
        EXPECT_EQ(differs(got, want, kReduction), "") << M << " " << N << " " << K;
        matmul(in_bf16(test), got, op_a, a, op_b, b, Accumulate::add);
        oracle::matmul(want, op_a, ra, op_b, rb, Accumulate::add);
        EXPECT_EQ(differs(got, want, kReduction), "") << M << " " << N << " " << K << " added";
      }
    }
  }
}

// More than one block of columns, more than one of the depth, sums in several pieces.
TEST(Bf16Matmul, AgreesWhereTheRightOperandIsPackedInBlocks) {
  TestExec test(2);
  constexpr std::int64_t M = 9, N = 4200, K = 2100;
  const Tensor a = bf16_tensor({M, K}, 1), b = bf16_tensor({N, K}, 2);
  Tensor got = random_tensor({M, N}, 3), want = test::to_f64(got);
  matmul(in_bf16(test), got, Transpose::no, a, Transpose::yes, b, Accumulate::add);
  oracle::matmul(want, Transpose::no, a, Transpose::yes, b, Accumulate::add);
  EXPECT_EQ(differs(got, want, kReduction), "");
}

// What every product of a linear layer gives, with operands of all magnitudes where `wild`.
struct LinearResults {
  LinearResults(const Exec& exec, Sizes s, bool wild, bool round = false)
      : y(poisoned_tensor({s.M, s.N})),
        residual_y(poisoned_tensor({s.M, s.N})),
        gelu_y(poisoned_tensor({s.M, s.N})),
        pre(poisoned_tensor({s.M, s.N})),
        dx(poisoned_tensor({s.M, s.K})),
        dw(random_tensor({s.N, s.K}, 6)),
        dbias(random_tensor({s.N}, 7)) {
    Tensor x = random_tensor({s.M, s.K}, 1), w = random_tensor({s.N, s.K}, 2, 0.1);
    Tensor dy = random_tensor({s.M, s.N}, 4);
    const Tensor bias = random_tensor({s.N}, 3), residual = random_tensor({s.M, s.N}, 5);
    if (wild) make_wild(x), make_wild(w), make_wild(dy);
    if (round) x = rounded(std::move(x)), w = rounded(std::move(w)), dy = rounded(std::move(dy));
    linear_forward(exec, y, x, w, bias);
    linear_residual_forward(exec, residual_y, x, w, bias, residual);
    linear_gelu_forward(exec, gelu_y, pre, x, w, bias);
    linear_backward(exec, dx, dw, dbias, dy, x, w);
  }

  // Denormals, numbers whose products are denormal or too large, signed zeros, infinities.
  static void make_wild(Tensor& t) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kFactors[] = {1.0f, 1e-20f, 1e-38f, 1e-41f, 1e20f, 3e38f, 0.0f, -0.0f};
    for (std::int64_t i = 0; i < t.size(); ++i) {
      float& x = t.data<float>()[i];
      x *= kFactors[(i * 7 + i / 11) % 8];
      if (i % 1009 == 500) x = kInfinity;
    }
  }

  std::string bits_differ_from(const LinearResults& o) const {
    const std::pair<const Tensor*, const Tensor*> pairs[] = {
        {&y, &o.y},           {&residual_y, &o.residual_y},
        {&gelu_y, &o.gelu_y}, {&pre, &o.pre},
        {&dx, &o.dx},         {&dw, &o.dw},
        {&dbias, &o.dbias}};
    std::string found;
    for (const auto& [mine, other] : pairs) found += bits_differ(*mine, *other);
    return found;
  }

  Tensor y, residual_y, gelu_y, pre, dx, dw, dbias;
};

// A NaN has many forms and the processor may choose: all of them become one.
void unify_nans(Tensor& t) {
  for (std::int64_t i = 0; i < t.size(); ++i) {
    float& x = t.data<float>()[i];
    if (std::isnan(x)) x = std::numeric_limits<float>::quiet_NaN();
  }
}

// The instructions and their imitation. The GELU of the same sums differs by its own rounding
// between instruction sets, so it is left out.
TEST(Bf16Linear, InstructionsAndTheirImitationGiveTheSameBits) {
  if (!has_avx512_bf16()) GTEST_SKIP() << "this processor has no AVX512-BF16";
  TestExec test(2);
  for (const Sizes s : kSizes) {
    for (const bool wild : {false, true}) {
      LinearResults got(in_bf16(test), s, wild), want(in_bf16(test, Isa::portable), s, wild);
      for (LinearResults* r : {&got, &want}) {
        r->gelu_y = Tensor({1});
        for (Tensor* t : {&r->y, &r->residual_y, &r->pre, &r->dx, &r->dw, &r->dbias}) {
          unify_nans(*t);
        }
      }
      EXPECT_EQ(got.bits_differ_from(want), "") << s.M << " " << s.N << " " << s.K << " " << wild;
    }
  }
}

TEST(Bf16Linear, AgreesWithTheOracleOnEveryPath) {
  TestExec test(2), plain(1);
  Exec oracle_exec = plain.exec();
  oracle_exec.oracle = true;
  for (const Sizes s : kSizes) {
    const LinearResults want(oracle_exec, s, false, true);
    for (const Isa isa : {Isa::portable, best_isa()}) {
      const LinearResults got(in_bf16(test, isa), s, false, true);
      const std::string size = fmt::format("{} {} {} {}", s.M, s.N, s.K, name_of(isa));
      EXPECT_EQ(differs(got.y, want.y, kReduction), "") << size;
      EXPECT_EQ(differs(got.residual_y, want.residual_y, kReduction), "") << size;
      EXPECT_EQ(differs(got.gelu_y, want.gelu_y, kReduction), "") << size;
      EXPECT_EQ(differs(got.pre, want.pre, kReduction), "") << size;
      EXPECT_EQ(differs(got.dx, want.dx, kReduction), "") << size;
      EXPECT_EQ(differs(got.dw, want.dw, kReduction), "") << size;
      EXPECT_EQ(differs(got.dbias, want.dbias, kReduction), "") << size;
    }
  }
}

TEST(Bf16Linear, BitsDoNotDependOnThreads) {
  for (const Sizes s : {Sizes{1, 17, 3}, Sizes{1000, 384, 127}, Sizes{700, 800, 128}}) {
    TestExec one(1);
    const LinearResults want(in_bf16(one), s, false);
    for (const int threads : {2, 3, 5}) {
      TestExec test(threads);
      EXPECT_EQ(LinearResults(in_bf16(test), s, false).bits_differ_from(want), "") << threads;
    }
  }
}

TEST(Bf16Linear, EmptyArgumentsAreLeftOut) {
  TestExec test(2);
  const Exec exec = in_bf16(test);
  const Tensor x = random_tensor({65, 33}, 1), w = random_tensor({127, 33}, 2);
  const Tensor bias = random_tensor({127}, 3), dy = random_tensor({65, 127}, 4);
  Tensor with_pre({65, 127}), without_pre = poisoned_tensor({65, 127}), pre({65, 127});
  linear_gelu_forward(exec, with_pre, pre, x, w, bias);
  linear_gelu_forward(exec, without_pre, {}, x, w, bias);
  EXPECT_EQ(bits_differ(without_pre, with_pre), "");

  Tensor no_bias = poisoned_tensor({65, 127}), product({65, 127});
  linear_forward(exec, no_bias, x, w, {});
  matmul(exec, product, Transpose::no, x, Transpose::yes, w);
  EXPECT_EQ(bits_differ(no_bias, product), "");

  Tensor dx({65, 33}), dw({127, 33}), dw_alone({127, 33}), dbias({127});
  linear_backward(exec, dx, dw, dbias, dy, x, w);
  linear_backward(exec, {}, dw_alone, {}, dy, x, w);
  EXPECT_EQ(bits_differ(dw_alone, dw), "");
}

TEST(Bf16Linear, ResidualMayBeTheOutput) {
  TestExec test(2);
  const Exec exec = in_bf16(test);
  const Tensor x = random_tensor({300, 33}, 1), w = random_tensor({65, 33}, 2);
  const Tensor bias = random_tensor({65}, 3), residual = random_tensor({300, 65}, 4);
  Tensor want({300, 65}), in_place = test::copy_of(residual);
  linear_residual_forward(exec, want, x, w, bias, residual);
  linear_residual_forward(exec, in_place, x, w, bias, in_place);
  EXPECT_EQ(bits_differ(in_place, want), "");
}

TEST(Bf16Matmul, OfNothingIsZeroAndAddsNothing) {
  TestExec test(2);
  const Exec exec = in_bf16(test);
  const Tensor a({3, 0}), b({0, 5});
  Tensor c = poisoned_tensor({3, 5});
  matmul(exec, c, Transpose::no, a, Transpose::no, b);
  EXPECT_EQ(bits_differ(c, Tensor({3, 5})), "");
  c.data<float>()[7] = 4;
  matmul(exec, c, Transpose::no, a, Transpose::no, b, Accumulate::add);
  EXPECT_EQ(c.data<float>()[7], 4);
  Tensor none({0, 5});
  matmul(exec, none, Transpose::no, Tensor({0, 7}), Transpose::no, Tensor({7, 5}));
}

// A view of `cols` columns inside rows of a wider tensor, starting at an odd column.
View inside(Tensor& wide, std::int64_t rows, std::int64_t cols) {
  return wide.view().slice(1, 5, 5 + cols).slice(0, 1, 1 + rows);
}

void clear(const View& x) {
  for (std::int64_t r = 0; r < x.dim(0); ++r) {
    std::fill_n(x.data<float>() + r * x.stride(0), x.dim(1), 0.0f);
  }
}

TEST(Bf16Matmul, ReadsAndWritesStridedRowsAndNothingBetweenThem) {
  TestExec test(2);
  constexpr std::int64_t M = 65, N = 129, K = 63;
  for (const Transpose op_a : kBoth) {
    for (const Transpose op_b : kBoth) {
      // NaNs around the operands: read by mistake, they would show.
      Tensor a_wide = poisoned_tensor({M + K + 2, M + K + 11});
      Tensor b_wide = poisoned_tensor({N + K + 2, N + K + 13});
      Tensor c_wide = poisoned_tensor({M + 2, N + 9});
      const Tensor a = stored(M, K, op_a, 1), b = stored(K, N, op_b, 2);
      const View a_in = inside(a_wide, a.shape()[0], a.shape()[1]);
      const View b_in = inside(b_wide, b.shape()[0], b.shape()[1]), c = inside(c_wide, M, N);
      for (const auto& [to, from] : {std::pair(a_in, &a), std::pair(b_in, &b)}) {
        for (std::int64_t r = 0; r < to.dim(0); ++r) {
          std::copy_n(from->data<float>() + r * to.dim(1), to.dim(1),
                      to.data<float>() + r * to.stride(0));
        }
      }
      Tensor want({M, N});
      matmul(in_bf16(test), c, op_a, a_in, op_b, b_in);
      matmul(in_bf16(test), want, op_a, a, op_b, b);
      EXPECT_EQ(bits_differ(c, want), "");
      clear(c);
      Tensor expected = poisoned_tensor({M + 2, N + 9});
      clear(inside(expected, M, N));
      EXPECT_EQ(bits_differ(c_wide, expected), "");
    }
  }
}

// fp32 keeps 24 bits of a number, bf16 8.
TEST(Bf16Matmul, RoundsOperandsToNearestEven) {
  TestExec test(1);
  for (const Isa isa : {Isa::portable, best_isa()}) {
    Tensor a({1, 4}), b({4, 1}), c({1, 1});
    const float numbers[] = {1.0f + 1.0f / 256, 1.0f + 3.0f / 256, 1.0f + 0.9f / 256, 1.0f};
    const float want[] = {1.0f, 1.0f + 1.0f / 64, 1.0f, 1.0f};
    for (int i = 0; i < 4; ++i) {
      std::fill_n(a.data<float>(), 4, 0.0f);
      std::fill_n(b.data<float>(), 4, 1.0f);
      a.data<float>()[i] = numbers[i];
      matmul(in_bf16(test, isa), c, Transpose::no, a, Transpose::no, b);
      EXPECT_EQ(c.data<float>()[0], want[i]) << i << " " << name_of(isa);
    }
  }
}

Tensor halves_of(const Tensor& t) {
  Tensor h(t.shape(), DType::bf16);
  for (std::int64_t i = 0; i < t.size(); ++i) h.data<bf16>()[i] = bf16(t.data<float>()[i]);
  return h;
}
Tensor poisoned_halves(Shape shape) { return poisoned_tensor(shape, DType::bf16); }

// Operands stored as bf16 give what their fp32 selves give, and results stored as bf16 are the fp32
// ones, rounded once. A depth of 4200 is cut into blocks where results are fp32, so its sums
// differ.
TEST(Bf16Storage, IsARoundingOfWhatFp32StorageGives) {
  TestExec test(2);
  for (const Isa isa : {Isa::portable, best_isa()}) {
    const Exec exec = in_bf16(test, isa);
    for (const Sizes s : {Sizes{1, 1, 1}, Sizes{65, 129, 63}, Sizes{200, 17, 514}}) {
      const Tensor x = bf16_tensor({s.M, s.K}, 1), w = random_tensor({s.N, s.K}, 2, 0.1);
      const Tensor dy = bf16_tensor({s.M, s.N}, 4), bias = random_tensor({s.N}, 3);
      const Tensor x_half = halves_of(x), dy_half = halves_of(dy);
      Tensor y({s.M, s.N}), pre({s.M, s.N}), dx({s.M, s.K}), dw({s.N, s.K}), dbias({s.N});
      Tensor y_half = poisoned_halves(y.shape()), pre_half = poisoned_halves(y.shape());
      Tensor dx_half = poisoned_halves(dx.shape()), dw2({s.N, s.K}), dbias2({s.N});
      const std::string size = fmt::format("{} {} {} {}", s.M, s.N, s.K, name_of(isa));

      linear_gelu_forward(exec, y, pre, x, w, bias);
      linear_gelu_forward(exec, y_half, pre_half, x_half, w, bias);
      EXPECT_EQ(bits_differ(y_half, halves_of(y)), "") << size;
      EXPECT_EQ(bits_differ(pre_half, halves_of(pre)), "") << size;
      Tensor alone = poisoned_halves(y.shape());
      linear_gelu_forward(exec, alone, {}, x_half, w, bias);
      EXPECT_EQ(bits_differ(alone, y_half), "") << size;

      linear_backward(exec, dx, dw, dbias, dy, x, w);
      linear_backward(exec, dx_half, dw2, dbias2, dy_half, x_half, w);
      EXPECT_EQ(bits_differ(dx_half, halves_of(dx)), "") << size;
      EXPECT_EQ(bits_differ(dw2, dw), "") << size;
      EXPECT_EQ(bits_differ(dbias2, dbias), "") << size;

      Tensor product({s.M, s.K}), product_half = poisoned_halves({s.M, s.K});
      matmul(exec, product, Transpose::no, dy, Transpose::no, w);
      matmul(exec, product_half, Transpose::no, dy_half, Transpose::no, w);
      EXPECT_EQ(bits_differ(product_half, halves_of(product)), "") << size;
    }
  }
}

TEST(Bf16Storage, SumsOfAnyDepthAreRoundedOnce) {
  TestExec test(2);
  constexpr std::int64_t M = 9, N = 1000, K = 5000;
  const Tensor a = bf16_tensor({M, K}, 1), b = bf16_tensor({N, K}, 2);
  Tensor got = poisoned_halves({M, N}), want({M, N}, DType::f64);
  matmul(in_bf16(test), got, Transpose::no, halves_of(a), Transpose::yes, halves_of(b));
  oracle::matmul(want, Transpose::no, a, Transpose::yes, b, Accumulate::overwrite);
  EXPECT_EQ(differs(got, want, test::kBf16Rounding), "");
}

TEST(Bf16Storage, OfGelu) {
  TestExec test(2);
  for (const Isa isa : {Isa::portable, best_isa()}) {
    const Exec exec = in_bf16(test, isa);
    for (const std::int64_t n : {1, 15, 16, 1000, 40000}) {
      const Tensor x = bf16_tensor({n}, 1, 3), dy = bf16_tensor({n}, 2);
      Tensor y({n}), dx({n}), in_place = halves_of(x), d_in_place = halves_of(dy);
      gelu_forward(exec, y, x);
      gelu_backward(exec, dx, dy, x);
      Tensor both = test::copy_of(in_place), d_both = test::copy_of(d_in_place);
      gelu_backward(exec, d_both, d_both, both, both);
      gelu_backward(exec, d_in_place, d_in_place, in_place);
      gelu_forward(exec, in_place, in_place);
      EXPECT_EQ(bits_differ(both, in_place), "") << n;
      EXPECT_EQ(bits_differ(d_both, d_in_place), "") << n;
      EXPECT_EQ(bits_differ(in_place, halves_of(y)), "") << n;
      EXPECT_EQ(bits_differ(d_in_place, halves_of(dx)), "") << n;
    }
  }
}

TEST(Bf16Linear, GradientThroughGeluAgreesWithTheOracle) {
  TestExec test(2);
  const Tensor dy = bf16_tensor({65, 33}, 1), w = bf16_tensor({33, 127}, 2);
  const Tensor pre = bf16_tensor({65, 127}, 3, 3);
  Tensor want({65, 127}, DType::f64), want_act({65, 127}, DType::f64);
  oracle::linear_gelu_input_gradient(want, want_act, dy, w, pre);
  Tensor got = poisoned_tensor({65, 127}), act = test::copy_of(pre);
  linear_gelu_input_gradient(in_bf16(test), got, act, dy, w, act);
  EXPECT_EQ(differs(got, want, kReduction), "");
  EXPECT_EQ(differs(act, want_act, kReduction), "");
  Tensor half = poisoned_halves({65, 127}), half_act = halves_of(pre);
  linear_gelu_input_gradient(in_bf16(test), half, half_act, halves_of(dy), halves_of(w), half_act);
  EXPECT_EQ(differs(half, want, test::kBf16), "");
  EXPECT_EQ(differs(half_act, want_act, test::kBf16Rounding), "");
}

TEST(Bf16Storage, IsNoMatterForProductsOfFp32) {
  TestExec test(1);
  Tensor c({2, 2}), half = halves_of(Tensor({2, 2}));
  EXPECT_THROW(matmul(test, c, Transpose::no, half, Transpose::no, half), Error);
}

}  // namespace
}  // namespace mixspan
