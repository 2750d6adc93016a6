#include <gtest/gtest.h>

#include <cstring>

#include "kernels/cross_entropy.h"
#include "kernels/cross_entropy_parts.h"
#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::differs;
using test::kReduction;
using test::poisoned_tensor;
using test::random_tensor;
using test::some_targets;
using test::TestExec;

constexpr float kScale = 0.125f;

// Each shard's columns, worked on as a rank of its own would.
struct Shards {
  std::vector<std::int64_t> cuts;  // 0, ..., V
  std::int64_t count() const { return static_cast<std::int64_t>(cuts.size()) - 1; }

  void run(const Exec& exec, View losses, View logits, ConstView targets) const {
    const std::int64_t rows = logits.dim(0), V = logits.dim(1);
    Tensor parts = poisoned_tensor({count(), rows, kCrossEntropyPart});
    for (std::int64_t s = 0; s < count(); ++s) {
      cross_entropy_part(exec, parts.view().select(0, s), columns(logits, s), targets,
                         {cuts[static_cast<std::size_t>(s)], V});
    }
    cross_entropy_join(exec, losses, parts, targets);
    for (std::int64_t s = 0; s < count(); ++s) {
      cross_entropy_part_backward(exec, columns(logits, s), parts, s, targets,
                                  {cuts[static_cast<std::size_t>(s)], V}, kScale);
    }
  }

 private:
  View columns(View logits, std::int64_t s) const {
    return logits.slice(1, cuts[static_cast<std::size_t>(s)],
                        cuts[static_cast<std::size_t>(s) + 1]);
  }
};

TEST(CrossEntropyParts, AgreeWithTheOracleOfTheWhole) {
  TestExec exec(2);
  for (const std::int64_t V : {3, 17, 65, 1000, 4097}) {
    for (const std::int64_t rows : {1, 3, 17}) {
      for (const double spread : {1.0, 30.0}) {
        const Tensor logits = random_tensor({rows, V}, 1, spread), targets = some_targets(rows, V);
        Tensor want_losses({rows}, DType::f64), want = test::to_f64(logits);
        oracle::cross_entropy_forward_backward(want_losses, want, targets, kScale);
        for (const Shards& shards : {Shards{{0, V}}, {{0, 1, V}}, {{0, V / 3, V / 2, V}}}) {
          for (const Isa isa : test::available_isas()) {
            Tensor losses = poisoned_tensor({rows}), gradient = test::copy_of(logits);
            shards.run(with_isa(exec, isa), losses, gradient, targets);
            EXPECT_EQ(differs(losses, want_losses, kReduction), "") << V << " " << shards.count();
            EXPECT_EQ(differs(gradient, want, kReduction), "") << V << " " << shards.count();
          }
        }
      }
    }
  }
}

TEST(CrossEntropyParts, BitsDoNotDependOnThreads) {
  const Tensor logits = random_tensor({100, 700}, 1), targets = some_targets(100, 700);
  const Shards shards{{0, 233, 700}};
  TestExec one(1);
  Tensor losses({100}), gradient = test::copy_of(logits);
  shards.run(one, losses, gradient, targets);
  for (const int threads : {2, 3, 5}) {
    TestExec exec(threads);
    Tensor losses2({100}), gradient2 = test::copy_of(logits);
    shards.run(exec, losses2, gradient2, targets);
    EXPECT_EQ(bits_differ(losses2, losses), "");
    EXPECT_EQ(bits_differ(gradient2, gradient), "");
  }
}

TEST(CrossEntropyParts, TargetsOutsideTheVocabularyThrow) {
  TestExec exec(1);
  Tensor logits({1, 5}), part({1, kCrossEntropyPart}), target({1}, DType::i32);
  for (const std::int32_t bad : {-2, 12}) {
    target.data<std::int32_t>()[0] = bad;
    EXPECT_THROW(cross_entropy_part(exec, part, logits, target, {5, 12}), Error);
  }
  target.data<std::int32_t>()[0] = 11;  // of another shard
  EXPECT_NO_THROW(cross_entropy_part(exec, part, logits, target, {5, 12}));
}

}  // namespace
}  // namespace mixspan
