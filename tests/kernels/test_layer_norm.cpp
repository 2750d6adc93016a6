#include "kernels/layer_norm.h"

#include <gtest/gtest.h>

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

constexpr float kEps = 1e-5f;

/// Both passes over inputs that are a fixed function of the shape.
struct Results {
  Results(std::int64_t rows, std::int64_t C, DType dtype)
      : y(poisoned_tensor({rows, C}, dtype)),
        mean(poisoned_tensor({rows}, dtype)),
        rstd(poisoned_tensor({rows}, dtype)),
        dx_added(random_tensor({rows, C}, 6, 1, dtype)),
        dx(poisoned_tensor({rows, C}, dtype)),
        dgain(random_tensor({C}, 7, 1, dtype)),
        dbias(random_tensor({C}, 8, 1, dtype)) {}
  Tensor y, mean, rstd, dx_added, dx, dgain, dbias;
};

struct Inputs {
  // Long rows lie well away from zero, so that a one-pass variance would show. (In a row of three
  // numbers that are close by chance, rounding the mean to fp32 alone would exceed the tolerance.)
  Inputs(std::int64_t rows, std::int64_t C, DType dtype)
      : x(random_tensor({rows, C}, 1, 1, DType::f32)),
        gain(random_tensor({C}, 2, 1, DType::f32)),
        bias(random_tensor({C}, 3, 1, DType::f32)),
        dy(random_tensor({rows, C}, 4, 1, DType::f32)) {
    for (std::int64_t i = 0; C >= 17 && i < x.size(); ++i) {
      x.data<float>()[i] += static_cast<float>(i / C % 7) * 5;
    }
    if (dtype == DType::f64) {
      for (Tensor* t : {&x, &gain, &bias, &dy}) *t = test::to_f64(*t);
    }
  }
  Tensor x, gain, bias, dy;
};

Results run(const Exec& exec, const Inputs& in, DType dtype) {
  Results out(in.x.shape()[0], in.x.shape()[1], dtype);
  layer_norm_forward(exec, out.y, out.mean, out.rstd, in.x, in.gain, in.bias, kEps);
  Tensor twice_dgain = test::copy_of(out.dgain), twice_dbias = test::copy_of(out.dbias);
  layer_norm_backward(exec, out.dx_added, twice_dgain, twice_dbias, in.dy, in.x, in.gain, out.mean,
                      out.rstd, DxMode::add);
  layer_norm_backward(exec, out.dx, out.dgain, out.dbias, in.dy, in.x, in.gain, out.mean, out.rstd,
                      DxMode::overwrite);
  EXPECT_EQ(bits_differ(twice_dgain, out.dgain), "");
  EXPECT_EQ(bits_differ(twice_dbias, out.dbias), "");
  return out;
}

void expect_close(const Results& got, const Results& want, const std::string& what) {
  EXPECT_EQ(differs(got.y, want.y, kReduction), "") << what;
  EXPECT_EQ(differs(got.mean, want.mean, kReduction), "") << what;
  EXPECT_EQ(differs(got.rstd, want.rstd, kReduction), "") << what;
  EXPECT_EQ(differs(got.dx, want.dx, kReduction), "") << what;
  EXPECT_EQ(differs(got.dx_added, want.dx_added, kReduction), "") << what;
  EXPECT_EQ(differs(got.dgain, want.dgain, kReduction), "") << what;
  EXPECT_EQ(differs(got.dbias, want.dbias, kReduction), "") << what;
}

TEST(LayerNorm, AgreesWithTheOracleOnEveryInstructionSet) {
  TestExec exec(2);
  TestExec plain(1);
  Exec oracle_exec = plain.exec();
  oracle_exec.oracle = true;
  for (const std::int64_t C : test::kLengths) {
    if (C == 1) continue;  // every row is constant: see below
    for (const std::int64_t rows : {1, 3, 65, 300}) {
      const Results want = run(oracle_exec, Inputs(rows, C, DType::f64), DType::f64);
      for (const Isa isa : test::available_isas()) {
        const Results got = run(with_isa(exec, isa), Inputs(rows, C, DType::f32), DType::f32);
        expect_close(got, want, fmt::format("{} rows {} C {}", name_of(isa), rows, C));
      }
    }
  }
}

TEST(LayerNorm, OfAConstantRowIsTheBias) {
  TestExec exec(1);
  for (const std::int64_t C : {1, 17, 384}) {
    Tensor x({2, C}), y = poisoned_tensor({2, C}), mean({2}), rstd({2});
    std::fill_n(x.data<float>(), 2 * C, 3.0f);
    const Tensor gain = random_tensor({C}, 1), bias = random_tensor({C}, 2);
    layer_norm_forward(exec, y, mean, rstd, x, gain, bias, kEps);
    EXPECT_EQ(bits_differ(y.view().slice(0, 1, 2).reshape({C}), bias), "");
    EXPECT_EQ(mean.data<float>()[1], 3.0f);
  }
}

TEST(LayerNorm, ReadsAndWritesStridedRows) {
  TestExec exec(2);
  constexpr std::int64_t rows = 9, C = 65;
  const Inputs in(rows, C, DType::f32);
  const Results want = run(exec, in, DType::f32);
  const auto widened = [](const Tensor& t) {
    Tensor wide = poisoned_tensor({rows, C + 7});
    for (std::int64_t r = 0; r < rows; ++r) {
      std::copy_n(t.data<float>() + r * C, C, wide.data<float>() + r * (C + 7) + 3);
    }
    return wide;
  };
  Tensor x = widened(in.x), dy = widened(in.dy), y = widened(in.x), dx = widened(in.x);
  const auto inner = [](Tensor& t) { return t.view().slice(1, 3, 3 + C); };
  Tensor mean({rows}), rstd({rows}), dgain = random_tensor({C}, 7), dbias = random_tensor({C}, 8);
  layer_norm_forward(exec, inner(y), mean, rstd, inner(x), in.gain, in.bias, kEps);
  layer_norm_backward(exec, inner(dx), dgain, dbias, inner(dy), inner(x), in.gain, mean, rstd,
                      DxMode::overwrite);
  EXPECT_EQ(bits_differ(inner(y), want.y), "");
  EXPECT_EQ(bits_differ(inner(dx), want.dx), "");
  EXPECT_EQ(bits_differ(dgain, want.dgain), "");
  EXPECT_EQ(bits_differ(dbias, want.dbias), "");
}

TEST(LayerNorm, BitsDoNotDependOnThreads) {
  const Inputs in(700, 127, DType::f32);
  TestExec one(1);
  const Results want = run(one, in, DType::f32);
  for (const int threads : {2, 3, 5}) {
    TestExec exec(threads);
    const Results got = run(exec, in, DType::f32);
    EXPECT_EQ(bits_differ(got.y, want.y), "") << threads;
    EXPECT_EQ(bits_differ(got.dx, want.dx), "") << threads;
    EXPECT_EQ(bits_differ(got.dgain, want.dgain), "") << threads;
    EXPECT_EQ(bits_differ(got.dbias, want.dbias), "") << threads;
  }
}

TEST(LayerNormOracle, GradientsAreTheCentralDifferences) {
  constexpr std::int64_t rows = 3, C = 5;
  Tensor x = random_tensor({rows, C}, 1, 1, DType::f64),
         gain = random_tensor({C}, 2, 1, DType::f64);
  Tensor bias = random_tensor({C}, 3, 1, DType::f64);
  const Tensor dy = random_tensor({rows, C}, 4, 1, DType::f64);
  Tensor y({rows, C}, DType::f64), mean({rows}, DType::f64), rstd({rows}, DType::f64);
  Tensor dx({rows, C}, DType::f64), dgain({C}, DType::f64), dbias({C}, DType::f64);
  const auto loss = [&] {
    oracle::layer_norm_forward(y, mean, rstd, x, gain, bias, kEps);
    return test::dot(y, dy);
  };
  loss();
  oracle::layer_norm_backward(dx, dgain, dbias, dy, x, gain, mean, rstd, DxMode::overwrite);
  EXPECT_EQ(differs(dx, test::central_differences(x, loss), test::kFiniteDifference), "");
  EXPECT_EQ(differs(dgain, test::central_differences(gain, loss), test::kFiniteDifference), "");
  EXPECT_EQ(differs(dbias, test::central_differences(bias, loss), test::kFiniteDifference), "");
}

}  // namespace
}  // namespace mixspan
