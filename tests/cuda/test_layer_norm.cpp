#include "kernels/layer_norm.h"

#include "tests/cuda/row_test.h"

namespace mixspan::test {
namespace {

class CudaLayerNorm : public RowTest {
 protected:
  static constexpr float kEps = 1e-5f;

  // Values as they are stored, in f32. Long rows lie well away from zero, so that a one-pass
  // variance would show; not so far that bf16 could not tell their elements apart.
  struct Inputs {
    Inputs(DType dtype, std::int64_t rows, std::int64_t C)
        : x({rows, C}),
          gain(stored_random(dtype, {C}, 2)),
          bias(stored_random(dtype, {C}, 3)),
          dy(stored_random(dtype, {rows, C}, 4)),
          dx(stored_random(dtype, {rows, C}, 6)) {
      const Tensor noise = random_tensor({rows, C}, 1);
      for (std::int64_t i = 0; i < x.size(); ++i) {
        const float shift = C >= 17 ? static_cast<float>(i / C % 7) * 5 : 0;
        x.data<float>()[i] = noise.data<float>()[i] + shift;
      }
      x = rounded_to(dtype, x);
    }
    Tensor x, gain, bias, dy, dx;
    Tensor dgain = random_tensor(gain.shape(), 7), dbias = random_tensor(gain.shape(), 8);
  };

  // y, mean, rstd; dx overwritten, dx added to, dgain, dbias.
  std::vector<Tensor> on_device(DType dtype, const Inputs& in, Lie lie) const {
    const std::int64_t rows = in.x.shape()[0], C = in.x.shape()[1];
    const auto stored = [&](const Tensor& t) { return as_dtype(dtype, t); };
    PlacedRows x = place(stored(in.x), lie), dy = place(stored(in.dy), lie);
    PlacedRows y = place_poisoned({rows, C}, dtype, lie),
               dx = place_poisoned({rows, C}, dtype, lie);
    PlacedRows dx_added = place(stored(in.dx), lie);
    const Tensor gain = upload(stored(in.gain)), bias = upload(stored(in.bias));
    Tensor mean = poisoned({rows}), rstd = poisoned({rows});
    Tensor dgain = upload(in.dgain), dbias = upload(in.dbias);
    Tensor dgain_again = upload(in.dgain), dbias_again = upload(in.dbias);
    layer_norm_forward(exec(), y.view(), mean, rstd, x.view(), gain, bias, kEps);
    layer_norm_backward(exec(), dx.view(), dgain, dbias, dy.view(), x.view(), gain, mean, rstd,
                        DxMode::overwrite);
    layer_norm_backward(exec(), dx_added.view(), dgain_again, dbias_again, dy.view(), x.view(),
                        gain, mean, rstd, DxMode::add);
    EXPECT_EQ(bits_differ(download(dgain_again), download(dgain)), "");
    EXPECT_EQ(bits_differ(download(dbias_again), download(dbias)), "");
    std::vector<Tensor> results;
    results.push_back(fetch(y));
    for (const Tensor* t : {&mean, &rstd}) results.push_back(download(*t));
    results.push_back(fetch(dx));
    results.push_back(fetch(dx_added));
    for (const Tensor* t : {&dgain, &dbias}) results.push_back(download(*t));
    return results;
  }

  static std::vector<Tensor> by_oracle(const Inputs& in) {
    const Shape shape = in.x.shape(), one_per_row{shape[0]};
    const Tensor x = to_f64(in.x), gain = to_f64(in.gain), bias = to_f64(in.bias),
                 dy = to_f64(in.dy);
    Tensor y(shape, DType::f64), mean(one_per_row, DType::f64), rstd(one_per_row, DType::f64);
    Tensor dx(shape, DType::f64), dx_added = to_f64(in.dx);
    Tensor dgain = to_f64(in.dgain), dbias = to_f64(in.dbias);
    oracle::layer_norm_forward(y, mean, rstd, x, gain, bias, kEps);
    oracle::layer_norm_backward(dx, copy_of(dgain), copy_of(dbias), dy, x, gain, mean, rstd,
                                DxMode::overwrite);
    oracle::layer_norm_backward(dx_added, dgain, dbias, dy, x, gain, mean, rstd, DxMode::add);
    std::vector<Tensor> results;
    for (Tensor* t : {&y, &mean, &rstd, &dx, &dx_added, &dgain, &dbias}) {
      results.push_back(std::move(*t));
    }
    return results;
  }

  void expect_close(DType dtype, const std::vector<Tensor>& got, const Inputs& in) const {
    const std::vector<Tensor> want = by_oracle(in);
    const char* names[] = {"y", "mean", "rstd", "dx", "dx added to", "dgain", "dbias"};
    for (std::size_t i = 0; i < want.size(); ++i) {
      const Tolerance tolerance = stored_as(got[i].view().dtype(), kReduction);
      EXPECT_EQ(differs(got[i], want[i], tolerance), "") << names[i] << " " << name_of(dtype);
    }
  }
};

TEST_F(CudaLayerNorm, EqualsTheOracle) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t rows : {1, 3}) {
      for (const std::int64_t C : {3, 17, 64, 65, 384, 1000, 1025}) {
        for (const Lie lie : kLies) {
          SCOPED_TRACE(
              fmt::format("{} {} x {} lie {}", name_of(dtype), rows, C, static_cast<int>(lie)));
          const Inputs in(dtype, rows, C);
          expect_close(dtype, on_device(dtype, in, lie), in);
        }
      }
    }
  }
}

// Rows that a thread has one, two, four runs of, and more than fit its registers.
TEST_F(CudaLayerNorm, EqualsTheOracleOnLongRowsSlow) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t C : {1030, 2048, 4099, 8193, 16390}) {
      SCOPED_TRACE(fmt::format("{} C {}", name_of(dtype), C));
      const Inputs in(dtype, 2, C);
      expect_close(dtype, on_device(dtype, in, Lie::together), in);
    }
  }
}

// More rows than blocks: several for some of them.
TEST_F(CudaLayerNorm, EqualsTheOracleOnManyRowsAndGivesTheSameBitsSlow) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t C : {std::int64_t{13}, std::int64_t{dtype == DType::f32 ? 260 : 520}}) {
      SCOPED_TRACE(fmt::format("{} C {}", name_of(dtype), C));
      const Inputs in(dtype, 270, C);
      expect_close(dtype, steady([&] { return on_device(dtype, in, Lie::together); }), in);
    }
  }
}

// Long rows, several to a block: their sums are kept in memory.
TEST_F(CudaLayerNorm, EqualsTheOracleOnManyLongRowsSlow) {
  const Inputs in(DType::f32, 267, 4100);
  expect_close(DType::f32, on_device(DType::f32, in, Lie::askew), in);
}

TEST_F(CudaLayerNorm, WhereRowsLieChangesNoBit) {
  for (const DType dtype : kModelTypes) {
    const Inputs in(dtype, 7, 384);
    const std::vector<Tensor> want = on_device(dtype, in, Lie::together);
    for (const Lie lie : {Lie::apart, Lie::askew}) {
      const std::vector<Tensor> got = on_device(dtype, in, lie);
      for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(bits_differ(got[i], want[i]), "") << i;
    }
  }
}

TEST_F(CudaLayerNorm, OfAConstantRowIsTheBias) {
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t C : {1, 17, 384}) {
      Tensor x({2, C});
      std::fill_n(x.data<float>(), 2 * C, 3.0f);
      const Tensor gain = as_dtype(dtype, random_tensor({C}, 1));
      const Tensor bias = as_dtype(dtype, random_tensor({C}, 2));
      Tensor y = poisoned({2, C}, dtype), mean = poisoned({2}), rstd = poisoned({2});
      layer_norm_forward(exec(), y, mean, rstd, upload(as_dtype(dtype, x)), upload(gain),
                         upload(bias), kEps);
      EXPECT_EQ(bits_differ(download(y).view().slice(0, 1, 2).reshape({C}), bias), "");
      EXPECT_EQ(download(mean).data<float>()[1], 3.0f);
    }
  }
}

TEST_F(CudaLayerNorm, NoRowsChangeNothing) {
  const Tensor gain = upload(random_tensor({8}, 1));
  Tensor none({0, 8}, DType::f32, device()), one_per_row({0}, DType::f32, device());
  Tensor dgain = upload(random_tensor({8}, 2)), dbias = upload(random_tensor({8}, 3));
  layer_norm_forward(exec(), none, one_per_row, one_per_row, none, gain, gain, kEps);
  layer_norm_backward(exec(), none, dgain, dbias, none, none, gain, one_per_row, one_per_row,
                      DxMode::overwrite);
  EXPECT_EQ(bits_differ(download(dgain), random_tensor({8}, 2)), "");
  EXPECT_EQ(bits_differ(download(dbias), random_tensor({8}, 3)), "");
}

}  // namespace
}  // namespace mixspan::test
