#include "kernels/cross_entropy_parts.h"

#include <cmath>

#include "kernels/argmax.h"
#include "kernels/cross_entropy.h"
#include "tests/cuda/row_test.h"
#include "tests/kernels/dense_support.h"

namespace mixspan::test {
namespace {

constexpr float kScale = 0.125f;

class CudaCrossEntropyParts : public RowTest {
 protected:
  // The columns of V divided at `cuts`; losses, gradient (rows, V), and u8 whether the likeliest
  // token is the target.
  std::vector<Tensor> in_shards(const Tensor& logits, const Tensor& targets,
                                const std::vector<std::int64_t>& cuts, Lie lie) const {
    const std::int64_t rows = logits.shape()[0], V = logits.shape()[1];
    const auto shards = static_cast<std::int64_t>(cuts.size()) - 1;
    const Tensor t = upload(targets);
    Tensor parts = poisoned({shards, rows, kCrossEntropyPart}), losses = poisoned({rows});
    Tensor likeliest = poisoned({shards, rows}, DType::i32), correct = poisoned({rows}, DType::u8);
    std::vector<PlacedRows> columns;
    const auto shard_of = [&](std::int64_t s) {
      return VocabShard{cuts[static_cast<std::size_t>(s)], V};
    };
    for (std::int64_t s = 0; s < shards; ++s) {
      const auto i = static_cast<std::size_t>(s);
      const Tensor whole = upload(logits);
      columns.push_back(place_poisoned({rows, cuts[i + 1] - cuts[i]}, logits.view().dtype(), lie));
      copy(exec(), columns[i].view(), whole.view().slice(1, cuts[i], cuts[i + 1]));
      const View likeliest_here = likeliest.view().select(0, s);
      if (cuts[i + 1] > cuts[i]) {
        argmax_rows(exec(), likeliest_here, columns[i].view(), cuts[i]);
      }
      cross_entropy_part(exec(), parts.view().select(0, s), columns[i].view(), t, shard_of(s));
    }
    cross_entropy_join(exec(), losses, parts, t);
    mark_correct(exec(), correct, likeliest, parts, t);
    Tensor gradient(logits.shape(), logits.view().dtype());
    for (std::int64_t s = 0; s < shards; ++s) {
      const auto i = static_cast<std::size_t>(s);
      cross_entropy_part_backward(exec(), columns[i].view(), parts, s, t, shard_of(s), kScale);
      const Tensor part = fetch(columns[i]);
      copy_columns(gradient, part, cuts[i]);
    }
    std::vector<Tensor> results;
    results.push_back(download(losses));
    results.push_back(std::move(gradient));
    results.push_back(download(correct));
    return results;
  }

  static void copy_columns(Tensor& to, const Tensor& from, std::int64_t begin) {
    dispatch<float, bf16>("columns", to.view().dtype(), [&]<class T>() {
      const std::int64_t n = from.shape()[1];
      for (std::int64_t r = 0; r < to.shape()[0]; ++r) {
        std::copy_n(from.data<T>() + r * n, n, to.data<T>() + r * to.shape()[1] + begin);
      }
    });
  }
};

const std::vector<std::vector<std::int64_t>> kDivisions = {
    {0, 65}, {0, 20, 65}, {0, 1, 20, 20, 65}, {0, 64, 65}};

TEST_F(CudaCrossEntropyParts, ShardsMakeTheLossAndTheGradientOfTheWhole) {
  const std::int64_t rows = 9, V = 65;
  for (const DType dtype : kModelTypes) {
    for (const Lie lie : kLies) {
      for (const double spread : {1.0, 30.0}) {
        const Tensor logits = stored_random(dtype, {rows, V}, 1, spread);
        const Tensor targets = some_targets(rows, V);
        Tensor want_losses({rows}, DType::f64), want = to_f64(logits);
        oracle::cross_entropy_forward_backward(want_losses, want, targets, kScale);
        for (const auto& cuts : kDivisions) {
          SCOPED_TRACE(fmt::format("{} lie {} {} shards", name_of(dtype), static_cast<int>(lie),
                                   cuts.size() - 1));
          const auto run = [&] { return in_shards(as_dtype(dtype, logits), targets, cuts, lie); };
          const auto got =
              lie == Lie::together && spread == 1.0 && cuts.size() == 3 ? steady(run) : run();
          EXPECT_EQ(differs(got[0], want_losses, kReduction), "");
          EXPECT_EQ(differs(got[1], want, stored_as(dtype, kReduction)), "");
        }
      }
    }
  }
}

TEST_F(CudaCrossEntropyParts, TheLikeliestTokenIsThatOfTheWhole) {
  const std::int64_t rows = 12, V = 65;
  // Few different values, so that the largest is there several times, in several shards.
  Tensor logits({rows, V}), likeliest({rows}, DType::i32);
  for (std::int64_t i = 0; i < logits.size(); ++i) {
    logits.data<float>()[i] = static_cast<float>(i * 7919 % 101 % 9);
  }
  oracle::argmax_rows(likeliest, logits);
  for (const DType dtype : kModelTypes) {
    for (const auto& cuts : kDivisions) {
      if (cuts == kDivisions[2]) continue;  // a shard without a column has no likeliest token
      Tensor targets = copy_of(likeliest);
      for (std::int64_t r = 0; r < rows; r += 3) {
        targets.data<std::int32_t>()[r] = (targets.data<std::int32_t>()[r] + 9) % 65;
      }
      const auto got = in_shards(as_dtype(dtype, logits), targets, cuts, Lie::together);
      for (std::int64_t r = 0; r < rows; ++r) {
        EXPECT_EQ(got[2].data<std::uint8_t>()[r], r % 3 == 0 ? 0 : 1) << r;
      }
    }
  }
}

TEST_F(CudaCrossEntropyParts, ATargetOutsideTheVocabularyMakesItsRowNans) {
  for (const DType dtype : kModelTypes) {
    for (const std::int32_t bad : {65, 1000, -2}) {
      const Tensor logits = stored_random(dtype, {3, 65}, 1);
      Tensor targets({3}, DType::i32);
      targets.data<std::int32_t>()[1] = bad;
      const auto got = in_shards(as_dtype(dtype, logits), targets, kDivisions[1], Lie::together);
      const Tensor gradient = as_dtype(DType::f32, got[1]);
      for (std::int64_t r = 0; r < 3; ++r) {
        EXPECT_EQ(std::isnan(got[0].data<float>()[r]), r == 1) << bad;
        for (std::int64_t v = 0; v < 65; ++v) {
          EXPECT_EQ(std::isnan(gradient.data<float>()[r * 65 + v]), r == 1) << bad;
        }
      }
    }
  }
}

TEST_F(CudaCrossEntropyParts, ANanInOneShardShowsInTheLoss) {
  for (const std::int64_t at : {0, 3, 64}) {
    Tensor logits = random_tensor({1, 65}, 1), targets({1}, DType::i32);
    targets.data<std::int32_t>()[0] = 3;
    logits.data<float>()[at] = std::nanf("");
    const auto got = in_shards(logits, targets, kDivisions[1], Lie::together);
    EXPECT_FALSE(std::isfinite(got[0].data<float>()[0])) << at;
  }
}

}  // namespace
}  // namespace mixspan::test
