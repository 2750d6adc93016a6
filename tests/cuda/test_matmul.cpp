// Matrix products on a device against the oracle: on an emulated device what turns rows into
// columns and what falls back from an epilogue; on a real one cuBLASLt too.
#include <gtest/gtest.h>

#include "kernels/cuda/gelu_check.h"
#include "kernels/cuda/libraries.h"
#include "kernels/cuda/linear_rows.h"
#include "kernels/matmul.h"
#include "tests/cuda/device_test.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using test::as_dtype;
using test::bits_differ;
using test::random_tensor;

struct Sizes {
  std::int64_t M, N, K;
};
// Multiples of 16 bytes, odd ones, and ones: the last have no epilogues when emulated.
constexpr Sizes kSizes[] = {{16, 24, 8}, {40, 72, 16}, {17, 3, 65}, {65, 63, 33},
                            {1, 64, 17}, {64, 1, 9},   {1, 1, 1},   {2, 258, 32}};
constexpr DType kTypes[] = {DType::f32, DType::bf16};

/// Empty when `got`, computed in its dtype and rounded once, is as close to the oracle as that
/// allows.
std::string off(const ConstView& got, const Tensor& want) {
  const Tensor wide = as_dtype(DType::f32, got);
  if (got.dtype() == DType::f32) return test::differs(wide, want, test::kReduction);
  const Tensor rounded = as_dtype(DType::f32, as_dtype(DType::bf16, want));
  return test::worse_than_twice(wide, rounded, want, test::kBf16);
}

class MatmulOnDevice : public test::DeviceTest {
 protected:
  /// An Exec with libraries; `options` may change between calls.
  Exec with(const cuda::LibraryOptions& options) {
    libraries_ = std::make_unique<cuda::Libraries>(device(), options);
    Exec ex = exec();
    ex.libraries = libraries_.get();
    return ex;
  }
  /// Normal numbers that `dtype` holds exactly, and the same on the device.
  struct Both {
    Tensor host;  // f64
    Tensor device;
    operator ConstView() const { return device; }  // NOLINT
  };
  Both both(Shape shape, DType dtype, std::uint64_t seed, double scale = 1) {
    const Tensor exact = as_dtype(dtype, random_tensor(shape, seed, scale));
    return {as_dtype(DType::f64, exact), upload(exact)};
  }

 private:
  std::unique_ptr<cuda::Libraries> libraries_;
};

Shape stored(std::int64_t rows, std::int64_t cols, Transpose transpose) {
  return transpose == Transpose::yes ? Shape{cols, rows} : Shape{rows, cols};
}

TEST_F(MatmulOnDevice, AgreesWithTheOracleForEveryTransposition) {
  const Exec ex = with({});
  for (const DType dtype : kTypes) {
    for (const auto [M, N, K] : kSizes) {
      for (const Transpose op_a : {Transpose::no, Transpose::yes}) {
        for (const Transpose op_b : {Transpose::no, Transpose::yes}) {
          const Both a = both(stored(M, K, op_a), dtype, 1), b = both(stored(K, N, op_b), dtype, 2);
          Tensor got = poisoned({M, N}, dtype), want({M, N}, DType::f64);
          matmul(ex, got, op_a, a, op_b, b);
          oracle::matmul(want, op_a, a.host, op_b, b.host, Accumulate::overwrite);
          EXPECT_EQ(off(download(got), want), "") << M << " " << N << " " << K;
        }
      }
    }
  }
}

// As gradients of weights: products of bf16 added to fp32 without rounding in between.
TEST_F(MatmulOnDevice, AddsToFp32) {
  const Exec ex = with({});
  for (const DType dtype : kTypes) {
    for (const auto [M, N, K] : kSizes) {
      const Both a = both({K, M}, dtype, 1), b = both({K, N}, dtype, 2);
      Both c = both({M, N}, DType::f32, 3);
      for (int i = 0; i < 2; ++i) {
        matmul(ex, c.device, Transpose::yes, a, Transpose::no, b, Accumulate::add);
        oracle::matmul(c.host, Transpose::yes, a.host, Transpose::no, b.host, Accumulate::add);
      }
      EXPECT_EQ(off(download(c), c.host), "") << M << " " << N << " " << K;
    }
  }
}

TEST_F(MatmulOnDevice, OfNothingIsZeroAndAddsNothing) {
  const Exec ex = with({});
  const Tensor a = upload(Tensor({3, 0})), b = upload(Tensor({0, 5}));
  Tensor c = poisoned({3, 5});
  matmul(ex, c, Transpose::no, a, Transpose::no, b);
  EXPECT_EQ(bits_differ(download(c), Tensor({3, 5})), "");
  const Tensor before = random_tensor({3, 5}, 1);
  Tensor added = upload(before);
  matmul(ex, added, Transpose::no, a, Transpose::no, b, Accumulate::add);
  EXPECT_EQ(bits_differ(download(added), before), "");
}

TEST_F(MatmulOnDevice, ReadsAndWritesStridedRowsAndNothingBetweenThem) {
  const Exec ex = with({});
  constexpr std::int64_t M = 21, N = 34, K = 19;
  for (const DType dtype : kTypes) {
    for (const std::int64_t left : {0, 5, 8}) {
      const auto inside = [&](const auto& wide, std::int64_t rows, std::int64_t cols) {
        return wide.slice(1, left, left + cols).slice(0, 1, 1 + rows);
      };
      const Both a = both({M + 2, 48}, dtype, 1), b = both({N + 2, 56}, dtype, 2);
      Tensor c = poisoned({M + 2, 64}, dtype);
      const Tensor untouched = download(c);
      matmul(ex, inside(c.view(), M, N), Transpose::no, inside(a.device.view(), M, K),
             Transpose::yes, inside(b.device.view(), N, K));
      Tensor want({M, N}, DType::f64);
      oracle::matmul(want, Transpose::no, inside(a.host.view(), M, K), Transpose::yes,
                     inside(b.host.view(), N, K), Accumulate::overwrite);
      Tensor got = download(c);
      Tensor part({M, N}, dtype);
      test::TestExec cpu(1);
      copy(cpu, part, inside(got.view(), M, N));
      EXPECT_EQ(off(part, want), "");
      copy(cpu, inside(got.view(), M, N), inside(untouched.view(), M, N));
      EXPECT_EQ(bits_differ(got, untouched), "");
    }
  }
}

TEST_F(MatmulOnDevice, NeedsLibrariesAndFittingShapes) {
  const Both a = both({3, 4}, DType::f32, 1), b = both({5, 6}, DType::f32, 2);
  Tensor c = poisoned({3, 6}), d = poisoned({3, 6}, DType::bf16);
  Exec without = exec();
  without.libraries = nullptr;
  EXPECT_THROW(matmul(without, c, Transpose::no, a, Transpose::no, both({4, 6}, DType::f32, 3)),
               Error);
  const Exec ex = with({});
  EXPECT_THROW(matmul(ex, c, Transpose::no, a, Transpose::no, b), Error);
  EXPECT_THROW(matmul(ex, c, Transpose::no, a, Transpose::no, both({4, 6}, DType::bf16, 3)), Error);
  EXPECT_THROW(matmul(ex, d, Transpose::no, a, Transpose::no, both({4, 6}, DType::f32, 3)), Error);
}

// ---- linear layers ------------------------------------------------------------------------------

const cuda::LibraryOptions kPlain{};
const cuda::LibraryOptions kFused{.algorithms = {}, .fuse_gelu = true, .fuse_bias_gradient = true};

class LinearOnDevice : public MatmulOnDevice {
 protected:
  void forward(const Exec& ex, DType dtype, Sizes s, bool with_bias) {
    const auto [M, F, C] = s;
    const Both x = both({M, C}, dtype, 1), w = both({F, C}, dtype, 2, 0.3);
    const Both bias = both({F}, dtype, 3), residual = both({M, F}, dtype, 4);
    const ConstView b = with_bias ? ConstView(bias.device) : ConstView();
    const ConstView host_b = with_bias ? ConstView(bias.host) : ConstView();
    Tensor want({M, F}, DType::f64), want_pre({M, F}, DType::f64);

    Tensor y = poisoned({M, F}, dtype);
    linear_forward(ex, y, x, w, b);
    oracle::linear_forward(want, x.host, w.host, host_b);
    EXPECT_EQ(off(download(y), want), "") << "forward";

    Tensor sum = poisoned({M, F}, dtype), in_place = upload(download(residual));
    linear_residual_forward(ex, sum, x, w, b, residual);
    linear_residual_forward(ex, in_place, x, w, b, in_place);
    oracle::linear_residual_forward(want, x.host, w.host, host_b, residual.host);
    EXPECT_EQ(off(download(sum), want), "") << "residual";
    EXPECT_EQ(bits_differ(download(in_place), download(sum)), "") << "in place";
  }

  void gelu(const Exec& ex, DType dtype, Sizes s, bool with_bias) {
    const auto [M, F, C] = s;
    const Both x = both({M, C}, dtype, 1), w = both({F, C}, dtype, 2, 0.3),
               bias = both({F}, dtype, 3);
    Tensor y = poisoned({M, F}, dtype), pre = poisoned({M, F}, dtype),
           alone = poisoned({M, F}, dtype);
    linear_gelu_forward(ex, y, pre, x, w, with_bias ? ConstView(bias) : ConstView());
    linear_gelu_forward(ex, alone, {}, x, w, with_bias ? ConstView(bias) : ConstView());
    Tensor want({M, F}, DType::f64), want_pre({M, F}, DType::f64);
    oracle::linear_gelu_forward(want, want_pre, x.host, w.host,
                                with_bias ? ConstView(bias.host) : ConstView());
    EXPECT_EQ(off(download(pre), want_pre), "") << "pre";
    // gelu(pre) of a pre that has been rounded: off by two roundings, where it is fused by one.
    const test::Tolerance near = dtype == DType::f32 ? test::kReduction : test::kBf16;
    EXPECT_EQ(test::differs(as_dtype(DType::f32, download(y)), want, near), "") << "gelu";
    EXPECT_EQ(test::differs(as_dtype(DType::f32, download(alone)), want, near), "") << "no pre";

    // Its gradient: dpre(M, F) of a layer (F) -> (C), with pre as it was stored.
    const Both dy = both({M, C}, dtype, 5), v = both({C, F}, dtype, 6);
    Tensor dpre = poisoned({M, F}, dtype);
    Tensor act = poisoned({M, F}, dtype);
    linear_gelu_input_gradient(ex, dpre, act, dy, v, pre);
    Tensor want_dpre({M, F}, DType::f64), want_act({M, F}, DType::f64);
    test::TestExec cpu(1);
    Exec plain = cpu.exec();
    plain.oracle = true;
    linear_gelu_input_gradient(plain, want_dpre, want_act, dy.host, v.host,
                               as_dtype(DType::f64, download(pre)));
    EXPECT_EQ(test::differs(as_dtype(DType::f32, download(dpre)), want_dpre, near), "") << "dpre";
    EXPECT_EQ(test::differs(as_dtype(DType::f32, download(act)), want_act, near), "") << "again";
  }

  void backward(const Exec& ex, DType dtype, Sizes s) {
    const auto [M, F, C] = s;
    const Both x = both({M, C}, dtype, 1), w = both({F, C}, dtype, 2), dy = both({M, F}, dtype, 3);
    Both dw = both({F, C}, DType::f32, 4), dbias = both({F}, DType::f32, 5);
    Tensor dx = poisoned({M, C}, dtype), want_dx({M, C}, DType::f64);
    Tensor dw_alone = upload(download(dw));
    linear_backward(ex, dx, dw.device, dbias.device, dy, x, w);
    linear_backward(ex, {}, dw_alone, {}, dy, x, w);
    oracle::linear_backward(want_dx, dw.host, dbias.host, dy.host, x.host, w.host);
    EXPECT_EQ(off(download(dx), want_dx), "") << "dx";
    EXPECT_EQ(off(download(dw), dw.host), "") << "dw";
    EXPECT_EQ(off(download(dbias), dbias.host), "") << "dbias";
    EXPECT_EQ(off(download(dw_alone), dw.host), "") << "dw alone";
  }

  template <class Body>
  void everywhere(Body body) {
    for (const cuda::LibraryOptions& options : {kPlain, kFused}) {
      const Exec ex = with(options);
      for (const DType dtype : kTypes) {
        for (const Sizes s : kSizes) {
          SCOPED_TRACE(fmt::format("{} {} {} {} fused {}", s.M, s.N, s.K, name_of(dtype),
                                   options.fuse_gelu));
          body(ex, dtype, s);
        }
      }
    }
  }
};

TEST_F(LinearOnDevice, ForwardAgreesWithTheOracle) {
  everywhere([&](const Exec& ex, DType dtype, Sizes s) {
    for (const bool with_bias : {false, true}) forward(ex, dtype, s, with_bias);
  });
}

TEST_F(LinearOnDevice, GeluAgreesWithTheOracle) {
  everywhere([&](const Exec& ex, DType dtype, Sizes s) {
    for (const bool with_bias : {false, true}) gelu(ex, dtype, s, with_bias);
  });
}

TEST_F(LinearOnDevice, BackwardAgreesWithTheOracle) {
  everywhere([&](const Exec& ex, DType dtype, Sizes s) { backward(ex, dtype, s); });
}

TEST_F(LinearOnDevice, TheGeluOfProductsIsTheTanhForm) {
  for (const DType dtype : kTypes) {
    const cuda::GeluDistance distance = cuda::measure_gelu_epilogue(with({}), dtype);
    EXPECT_TRUE(distance.computed) << name_of(dtype) << ": cuBLASLt has no such epilogue";
    if (!distance.computed) continue;
    EXPECT_LT(distance.tanh_form, distance.erf_form / 2)
        << name_of(dtype) << ": off by " << distance.tanh_form << " from the tanh form, by "
        << distance.erf_form << " from the erf form";
  }
}

TEST_F(LinearOnDevice, RepeatsGiveTheSameBits) {
  const Exec ex = with({});
  const Both x = both({600, 72}, DType::bf16, 1), dy = both({600, 40}, DType::bf16, 2);
  const Both w = both({40, 72}, DType::bf16, 3);
  Tensor first;
  for (int i = 0; i < 3; ++i) {
    Tensor dw({40, 72}, DType::f32, device()), dbias({40}, DType::f32, device());
    Tensor dx = poisoned({600, 72}, DType::bf16);
    linear_backward(ex, dx, dw, dbias, dy, x, w);
    Tensor all = download(dw);
    if (i == 0)
      first = std::move(all);
    else
      EXPECT_EQ(bits_differ(all, first), "");
  }
}

// ---- rows and columns ---------------------------------------------------------------------------

TEST_F(LinearOnDevice, ColumnSumsAreAdded) {
  for (const DType dtype : kTypes) {
    for (const auto& [rows, cols] : {std::pair{1, 1}, {7, 300}, {257, 40}, {700, 33}, {520, 264}}) {
      const Both v = both({rows, cols + 3}, dtype, 1);
      Both sums = both({cols}, DType::f32, 2);
      for (const std::int64_t left : {0, 3}) {
        test::in_every_order([&] {
          Tensor got = upload(as_dtype(DType::f32, sums.host));
          cuda::add_column_sums(exec(), got, v.device.view().slice(1, left, left + cols));
          Tensor want = test::copy_of(sums.host);
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 0; c < cols; ++c) {
              want.data<double>()[c] += v.host.data<double>()[r * (cols + 3) + left + c];
            }
          }
          EXPECT_EQ(off(download(got), want), "") << rows << " " << cols;
        });
      }
    }
  }
}

TEST_F(LinearOnDevice, RowsAreFilledWithBiasAndResidual) {
  for (const DType dtype : kTypes) {
    const Both bias = both({300}, dtype, 1), residual = both({5, 300}, dtype, 2);
    for (const bool with_bias : {false, true}) {
      for (const bool with_residual : {false, true}) {
        Tensor y = poisoned({5, 300}, dtype), want({5, 300}, DType::f64);
        cuda::fill_rows(exec(), y, with_bias ? ConstView(bias) : ConstView(),
                        with_residual ? ConstView(residual) : ConstView());
        for (std::int64_t i = 0; i < want.size(); ++i) {
          want.data<double>()[i] = (with_bias ? bias.host.data<double>()[i % 300] : 0) +
                                   (with_residual ? residual.host.data<double>()[i] : 0);
        }
        EXPECT_EQ(bits_differ(download(y), as_dtype(dtype, as_dtype(DType::f32, want))), "");
      }
    }
  }
}

// ---- the choice of algorithms: real devices only ------------------------------------------------

TEST_F(MatmulOnDevice, TimedChoicesAreKeptAndUsedAgain) {
  if (test::emulated()) GTEST_SKIP() << "cuBLASLt is not emulated";
  const test::ScratchFolder folder;
  const std::filesystem::path path = folder / "algorithms";
  const Both a = both({512, 256}, DType::bf16, 1), b = both({384, 256}, DType::bf16, 2);
  const Both start = both({512, 384}, DType::f32, 3);
  const auto result = [&](bool tune) {
    const Exec ex = with({.algorithms = path, .tune = tune});
    Tensor c = upload(download(start));
    matmul(ex, c, Transpose::no, a, Transpose::yes, b, Accumulate::add);
    return download(c);
  };
  const Tensor tuned = result(true);
  const std::string file = test::read_file(path);
  EXPECT_NE(file.find("TN,m384,n512,k256"), std::string::npos) << file;
  Tensor want = test::copy_of(start.host);  // timing must not have added more than once
  oracle::matmul(want, Transpose::no, a.host, Transpose::yes, b.host, Accumulate::add);
  EXPECT_EQ(off(tuned, want), "");
  EXPECT_EQ(bits_differ(result(false), tuned), "");
  EXPECT_EQ(test::read_file(path), file);
}

}  // namespace
}  // namespace mixspan
