#include "kernels/matmul.h"

#include <gtest/gtest.h>

#include "kernels/gelu.h"
#include "kernels/sgemm.h"
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
// Each size meets each other one somewhere; around the tile edges, and with ends of every length.
constexpr Sizes kSizes[] = {{1, 1, 1},      {1, 64, 17},    {3, 1, 1000},    {17, 3, 65},
                            {63, 65, 64},   {64, 64, 64},   {65, 63, 127},   {127, 1000, 1},
                            {1000, 17, 3},  {513, 770, 63}, {257, 513, 129}, {2049, 3, 127},
                            {1025, 385, 65}};

Tensor stored(std::int64_t rows, std::int64_t cols, Transpose transpose, std::uint64_t seed) {
  return random_tensor(transpose == Transpose::yes ? Shape{cols, rows} : Shape{rows, cols}, seed);
}

TEST(Matmul, AgreesWithTheOracleForEveryTransposition) {
  TestExec exec(2);
  for (const auto [M, N, K] : kSizes) {
    for (const Transpose op_a : {Transpose::no, Transpose::yes}) {
      for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
        const Tensor a = stored(M, K, op_a, 1), b = stored(K, N, op_b, 2);
        Tensor got = poisoned_tensor({M, N}), want({M, N}, DType::f64);
        matmul(exec, got, op_a, a, op_b, b);
        oracle::matmul(want, op_a, a, op_b, b, Accumulate::overwrite);
        EXPECT_EQ(differs(got, want, kReduction), "") << M << " " << N << " " << K;
        matmul(exec, got, op_a, a, op_b, b, Accumulate::add);
        oracle::matmul(want, op_a, a, op_b, b, Accumulate::add);
        EXPECT_EQ(differs(got, want, kReduction), "") << M << " " << N << " " << K << " added";
      }
    }
  }
}

// Many rows: the columns of a transposed operand become rows first, here in two parts, with ends
// that are no whole squares.
TEST(Matmul, AgreesWhereColumnsAreTurnedIntoRows) {
  TestExec test(2);
  constexpr std::int64_t M = 515, N = 803, K = 2700;
  const Tensor a = random_tensor({M, K}, 1), b = random_tensor({N, K}, 2);
  Tensor want({M, N}, DType::f64);
  oracle::matmul(want, Transpose::no, a, Transpose::yes, b, Accumulate::overwrite);
  for (const Isa isa : test::available_isas()) {
    Exec exec = test.exec();
    exec.isa = isa;
    Tensor got = poisoned_tensor({M, N});
    matmul(exec, got, Transpose::no, a, Transpose::yes, b);
    EXPECT_EQ(differs(got, want, kReduction), "") << name_of(isa);
    // What rides on a part knows where that begins, and no bit depends on who computes it.
    const Tensor bias = random_tensor({N}, 3);
    TestExec three(3);
    Exec more = three.exec();
    more.isa = isa;
    Tensor sums = poisoned_tensor({M, N});
    linear_forward(more, sums, a, b, bias);
    for (std::int64_t i = 0; i < got.size(); ++i) got.data<float>()[i] += bias.data<float>()[i % N];
    EXPECT_EQ(bits_differ(sums, got), "") << name_of(isa);
  }
}

TEST(Matmul, RowsOfFp32OnACpuDoNotLieWholePagesApart) {
  EXPECT_EQ(row_stride(3072, DType::f32, DeviceKind::cpu), 3088);
  EXPECT_EQ(row_stride(1536, DType::f32, DeviceKind::cpu), 1536);
  EXPECT_EQ(row_stride(3072, DType::bf16, DeviceKind::cpu), 3072);
  EXPECT_EQ(row_stride(3072, DType::f32, DeviceKind::cuda), 3072);
}

TEST(Matmul, OfNothingIsZeroAndAddsNothing) {
  TestExec exec(2);
  const Tensor a({3, 0}), b({0, 5});
  Tensor c = poisoned_tensor({3, 5});
  matmul(exec, c, Transpose::no, a, Transpose::no, b);
  EXPECT_EQ(bits_differ(c, Tensor({3, 5})), "");
  c.data<float>()[7] = 4;
  matmul(exec, c, Transpose::no, a, Transpose::no, b, Accumulate::add);
  EXPECT_EQ(c.data<float>()[7], 4);
}

TEST(Matmul, ThrowsWhenShapesDoNotMeet) {
  TestExec exec(1);
  const Tensor a({3, 4}), b({5, 6});
  Tensor c({3, 6});
  EXPECT_THROW(matmul(exec, c, Transpose::no, a, Transpose::no, b), Error);
}

// A view of `inner` columns inside rows of a wider tensor, starting at an odd column.
View inside(Tensor& wide, std::int64_t rows, std::int64_t cols) {
  return wide.view().slice(1, 5, 5 + cols).slice(0, 1, 1 + rows);
}

TEST(Matmul, ReadsAndWritesStridedRowsAndNothingBetweenThem) {
  TestExec exec(2);
  constexpr std::int64_t M = 65, N = 129, K = 63;
  Tensor a_wide = random_tensor({M + 2, K + 11}, 1), b_wide = random_tensor({N + 2, K + 13}, 2);
  Tensor c_wide = poisoned_tensor({M + 2, N + 9});
  const View a = inside(a_wide, M, K), b = inside(b_wide, N, K), c = inside(c_wide, M, N);
  matmul(exec, c, Transpose::no, a, Transpose::yes, b);
  Tensor want({M, N}, DType::f64);
  oracle::matmul(want, Transpose::no, a, Transpose::yes, b, Accumulate::overwrite);
  EXPECT_EQ(differs(c, want, kReduction), "");
  const View hole = c;
  for (std::int64_t r = 0; r < M; ++r) {
    std::fill_n(hole.data<float>() + r * hole.stride(0), N, 0.0f);
  }
  Tensor expected = poisoned_tensor({M + 2, N + 9});
  const View expected_hole = inside(expected, M, N);
  for (std::int64_t r = 0; r < M; ++r) {
    std::fill_n(expected_hole.data<float>() + r * expected_hole.stride(0), N, 0.0f);
  }
  EXPECT_EQ(bits_differ(c_wide, expected), "");
}

// What lets a tile be computed anywhere in a matrix, at any address: the library's bits are a
// function of the sizes and the numbers alone.
TEST(Sgemm, BitsDoNotDependOnWhereOperandsLie) {
  for (const auto [M, N, K] : {Sizes{1, 1, 17}, Sizes{1, 384, 384}, Sizes{384, 1, 64},
                               Sizes{17, 65, 127}, Sizes{96, 48, 384}, Sizes{130, 97, 700}}) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        for (const bool add : {false, true}) {
          const std::int64_t lda = (trans_a ? M : K) + 21, ldb = (trans_b ? K : N) + 37;
          const std::int64_t ldc = N + 11;
          const Tensor a = random_tensor({trans_a ? K : M, lda}, 1);
          const Tensor b = random_tensor({trans_b ? N : K, ldb}, 2);
          Tensor want({M, ldc});
          sgemm(M, N, K, {a.data<float>(), lda, trans_a}, {b.data<float>(), ldb, trans_b},
                want.data<float>(), ldc, add);
          for (const std::int64_t shift : {1, 4, 8, 13}) {
            Tensor a2({a.size() + 16}), b2({b.size() + 16}), c2({want.size() + 16});
            std::copy_n(a.data<float>(), a.size(), a2.data<float>() + shift);
            std::copy_n(b.data<float>(), b.size(), b2.data<float>() + shift / 2);
            float* c = c2.data<float>() + shift;
            sgemm(M, N, K, {a2.data<float>() + shift, lda, trans_a},
                  {b2.data<float>() + shift / 2, ldb, trans_b}, c, ldc, add);
            EXPECT_EQ(bits_differ(View(c, DType::f32, {M, ldc}), want), "")
                << M << " " << N << " " << K << " shifted by " << shift;
          }
        }
      }
    }
  }
}

/// Everything the linear functions compute for one set of inputs.
struct LinearResults {
  LinearResults(std::int64_t M, std::int64_t F, std::int64_t C, DType dtype)
      : y({M, F}, dtype),
        residual_y({M, F}, dtype),
        gelu_y({M, F}, dtype),
        pre({M, F}, dtype),
        dx({M, C}, dtype),
        dw({F, C}, dtype),
        dbias({F}, dtype),
        dpre({M, C}, dtype),
        act({M, C}, dtype) {
    for (Tensor* t : {&y, &residual_y, &gelu_y, &pre, &dx, &dpre, &act}) {
      *t = poisoned_tensor(t->shape(), dtype);
    }
  }
  Tensor y, residual_y, gelu_y, pre, dx, dw, dbias, dpre, act;
};

LinearResults linear_results(const Exec& exec, DType dtype, std::int64_t M, std::int64_t F,
                             std::int64_t C) {
  const Tensor x = random_tensor({M, C}, 1, 1, dtype), w = random_tensor({F, C}, 2, 0.1, dtype);
  const Tensor bias = random_tensor({F}, 3, 1, dtype), dy = random_tensor({M, F}, 4, 1, dtype);
  const Tensor residual = random_tensor({M, F}, 5, 1, dtype);
  LinearResults r(M, F, C, dtype);
  r.dw = random_tensor({F, C}, 6, 1, dtype);
  r.dbias = random_tensor({F}, 7, 1, dtype);
  linear_forward(exec, r.y, x, w, bias);
  linear_residual_forward(exec, r.residual_y, x, w, bias, residual);
  linear_gelu_forward(exec, r.gelu_y, r.pre, x, w, bias);
  linear_backward(exec, r.dx, r.dw, r.dbias, dy, x, w);
  linear_gelu_input_gradient(exec, r.dpre, r.act, dy, w, x);
  return r;
}

TEST(Linear, AgreesWithTheOracle) {
  TestExec fast(2);
  TestExec plain(1);
  Exec oracle_exec = plain.exec();
  oracle_exec.oracle = true;
  for (const auto [M, F, C] : kSizes) {
    const LinearResults got = linear_results(fast, DType::f32, M, F, C);
    const LinearResults want = linear_results(oracle_exec, DType::f32, M, F, C);
    const std::string size = fmt::format("{} {} {}", M, F, C);
    EXPECT_EQ(differs(got.y, want.y, kReduction), "") << size;
    EXPECT_EQ(differs(got.residual_y, want.residual_y, kReduction), "") << size;
    EXPECT_EQ(differs(got.gelu_y, want.gelu_y, kReduction), "") << size;
    EXPECT_EQ(differs(got.pre, want.pre, kReduction), "") << size;
    EXPECT_EQ(differs(got.dx, want.dx, kReduction), "") << size;
    EXPECT_EQ(differs(got.dw, want.dw, kReduction), "") << size;
    EXPECT_EQ(differs(got.dbias, want.dbias, kReduction), "") << size;
    EXPECT_EQ(differs(got.dpre, want.dpre, kReduction), "") << size;
    EXPECT_EQ(differs(got.act, want.act, kReduction), "") << size;
  }
}

TEST(Linear, BitsDoNotDependOnThreads) {
  for (const Sizes s : {Sizes{1, 17, 3}, Sizes{1000, 384, 127}, Sizes{700, 800, 128}}) {
    TestExec one(1);
    const LinearResults want = linear_results(one, DType::f32, s.M, s.N, s.K);
    for (const int threads : {2, 3, 5}) {
      TestExec exec(threads);
      const LinearResults got = linear_results(exec, DType::f32, s.M, s.N, s.K);
      EXPECT_EQ(bits_differ(got.y, want.y), "") << threads;
      EXPECT_EQ(bits_differ(got.residual_y, want.residual_y), "") << threads;
      EXPECT_EQ(bits_differ(got.gelu_y, want.gelu_y), "") << threads;
      EXPECT_EQ(bits_differ(got.pre, want.pre), "") << threads;
      EXPECT_EQ(bits_differ(got.dx, want.dx), "") << threads;
      EXPECT_EQ(bits_differ(got.dw, want.dw), "") << threads;
      EXPECT_EQ(bits_differ(got.dbias, want.dbias), "") << threads;
      EXPECT_EQ(bits_differ(got.dpre, want.dpre), "") << threads;
      EXPECT_EQ(bits_differ(got.act, want.act), "") << threads;
    }
  }
}

TEST(Linear, EmptyArgumentsAreLeftOut) {
  TestExec exec(2);
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

// Which is why a policy of recomputation changes no bit.
TEST(Linear, GradientThroughGeluHasTheBitsOfItsParts) {
  TestExec test(2);
  for (const Isa isa : test::available_isas()) {
    Exec exec = test.exec();
    exec.isa = isa;
    const Tensor dy = random_tensor({65, 33}, 1), w = random_tensor({33, 127}, 2);
    const Tensor pre = random_tensor({65, 127}, 3, 3);
    Tensor want({65, 127}), want_act({65, 127}), got({65, 127}), alone({65, 127});
    Tensor in_place = test::copy_of(pre);
    matmul(exec, want, Transpose::no, dy, Transpose::no, w);
    gelu_backward(exec, want, want, pre);
    gelu_forward(exec, want_act, pre);
    linear_gelu_input_gradient(exec, got, in_place, dy, w, in_place);
    linear_gelu_input_gradient(exec, alone, {}, dy, w, pre);
    EXPECT_EQ(bits_differ(got, want), "") << name_of(isa);
    EXPECT_EQ(bits_differ(alone, want), "") << name_of(isa);
    EXPECT_EQ(bits_differ(in_place, want_act), "") << name_of(isa);
  }
}

TEST(Linear, ResidualMayBeTheOutput) {
  TestExec exec(2);
  const Tensor x = random_tensor({300, 33}, 1), w = random_tensor({65, 33}, 2);
  const Tensor bias = random_tensor({65}, 3), residual = random_tensor({300, 65}, 4);
  Tensor want({300, 65}), in_place = test::copy_of(residual);
  linear_residual_forward(exec, want, x, w, bias, residual);
  linear_residual_forward(exec, in_place, x, w, bias, in_place);
  EXPECT_EQ(bits_differ(in_place, want), "");
}

TEST(LinearOracle, GradientsAreTheCentralDifferences) {
  constexpr std::int64_t M = 4, F = 3, C = 5;
  Tensor x = random_tensor({M, C}, 1, 1, DType::f64), w = random_tensor({F, C}, 2, 1, DType::f64);
  Tensor bias = random_tensor({F}, 3, 1, DType::f64),
         residual = random_tensor({M, F}, 5, 1, DType::f64);
  const Tensor dy = random_tensor({M, F}, 4, 1, DType::f64);
  Tensor y({M, F}, DType::f64), dx({M, C}, DType::f64), dw({F, C}, DType::f64);
  Tensor dbias({F}, DType::f64);
  const auto loss = [&] {
    oracle::linear_residual_forward(y, x, w, bias, residual);
    return test::dot(y, dy);
  };
  oracle::linear_backward(dx, dw, dbias, dy, x, w);
  EXPECT_EQ(differs(dx, test::central_differences(x, loss), test::kFiniteDifference), "");
  EXPECT_EQ(differs(dw, test::central_differences(w, loss), test::kFiniteDifference), "");
  EXPECT_EQ(differs(dbias, test::central_differences(bias, loss), test::kFiniteDifference), "");
  EXPECT_EQ(differs(dy, test::central_differences(residual, loss), test::kFiniteDifference), "");
}

}  // namespace
}  // namespace mixspan
