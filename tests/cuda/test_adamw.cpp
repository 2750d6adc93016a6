#include "kernels/adamw.h"

#include "tests/cuda/row_test.h"

namespace mixspan::test {
namespace {

AdamWStep step_number(std::int64_t t) {
  return {.lr = 1e-2,
          .beta1 = 0.9,
          .beta2 = 0.95,
          .eps = 1e-8,
          .weight_decay = 0.1,
          .t = t,
          .grad_scale = 0.5};
}

class CudaAdamW : public RowTest {
 protected:
  static ConstView flat(const Tensor& t) { return t.view().reshape({1, t.size()}); }
  static View flat(PlacedRows& r) { return r.view().reshape({r.end - r.begin}); }

  // w, m, v, rounded after five steps.
  std::vector<Tensor> on_device(std::int64_t n, Lie lie) const {
    const Tensor w0 = random_tensor({n}, 1), zeros({n});
    PlacedRows w = place(flat(w0), lie), m = place(flat(zeros), lie), v = place(flat(zeros), lie);
    PlacedRows rounded = place_poisoned({1, n}, DType::bf16, lie);
    for (std::int64_t t = 1; t <= 5; ++t) {
      const Tensor g0 = random_tensor({n}, static_cast<std::uint64_t>(10 + t), 0.1);
      PlacedRows g = place(flat(g0), lie);
      adamw(exec(), flat(w), flat(m), flat(v), flat(g), step_number(t), flat(rounded));
    }
    std::vector<Tensor> results;
    for (const PlacedRows* r : {&w, &m, &v, &rounded}) results.push_back(fetch(*r));
    return results;
  }
};

TEST_F(CudaAdamW, FollowsTheOracleAndRoundsTheNewWeights) {
  for (const std::int64_t n : {1, 3, 4, 17, 64, 1024, 1027, 5000}) {
    for (const Lie lie : kLies) {
      SCOPED_TRACE(fmt::format("n {} lie {}", n, static_cast<int>(lie)));
      Tensor w = to_f64(random_tensor({n}, 1)), m({n}, DType::f64), v({n}, DType::f64);
      for (std::int64_t t = 1; t <= 5; ++t) {
        const Tensor g = random_tensor({n}, static_cast<std::uint64_t>(10 + t), 0.1);
        oracle::adamw(w, m, v, to_f64(g), step_number(t));
      }
      const auto run = [&] { return on_device(n, lie); };
      const auto got = n == 1027 ? steady(run) : run();
      EXPECT_EQ(differs(got[0], w.view().reshape({1, n}), kElementwise), "");
      EXPECT_EQ(differs(got[1], m.view().reshape({1, n}), kElementwise), "");
      EXPECT_EQ(differs(got[2], v.view().reshape({1, n}), kElementwise), "");
      EXPECT_EQ(bits_differ(got[3], as_dtype(DType::bf16, got[0])), "");
    }
  }
}

TEST_F(CudaAdamW, LeavesOutTheRoundedWeightsWhereThereAreNone) {
  const Tensor g = upload(random_tensor({100}, 2));
  Tensor w = upload(random_tensor({100}, 1)), m = upload(Tensor({100})), v = upload(Tensor({100}));
  Tensor w2 = upload(random_tensor({100}, 1)), m2 = upload(Tensor({100})),
         v2 = upload(Tensor({100}));
  Tensor rounded = poisoned({100}, DType::bf16);
  adamw(exec(), w, m, v, g, step_number(1));
  adamw(exec(), w2, m2, v2, g, step_number(1), rounded);
  EXPECT_EQ(bits_differ(download(w), download(w2)), "");
}

// An oracle reads host memory, so a device has none.
TEST_F(CudaAdamW, AsksNoOracle) {
  const Tensor g = upload(random_tensor({100}, 2));
  std::vector<Tensor> weights;
  for (const bool oracle : {false, true}) {
    Exec ex = exec();
    ex.oracle = oracle;
    Tensor w = upload(random_tensor({100}, 1)), m = upload(Tensor({100})),
           v = upload(Tensor({100}));
    adamw(ex, w, m, v, g, step_number(1));
    weights.push_back(download(w));
  }
  EXPECT_EQ(bits_differ(weights[0], weights[1]), "");
}

}  // namespace
}  // namespace mixspan::test
