#include <gtest/gtest.h>

#include "core/rng.h"
#include "layers/param_split.h"
#include "layers/params.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::poisoned_tensor;
using test::random_tensor;

TEST(ParamSplit, PartsMakeTheWholeAgain) {
  struct Case {
    Shape shape;
    ParamSplit split;
  };
  for (const Case& c : {Case{{12, 5}, {0, 1}}, Case{{12, 5}, {0, 3}}, Case{{5, 12}, {1, 1}},
                        Case{{12}, {0, 3}}, Case{{7, 3}, {0, 1}}, Case{{7, 3}, {-1, 1}}}) {
    for (const int ranks : {1, 2, 3, 4}) {
      const Tensor whole = random_tensor(c.shape, 1);
      Tensor again = poisoned_tensor(c.shape);
      for (int rank = 0; rank < ranks; ++rank) {
        const TpPart which{rank, ranks};
        Tensor part = poisoned_tensor(part_shape(c.shape, c.split, which));
        take_part(part, whole, c.split, which);
        put_part(again, part, c.split, which);
      }
      EXPECT_EQ(bits_differ(again, whole), "") << c.shape.str() << " on " << ranks;
    }
  }
}

TEST(ParamSplit, StackedMatricesAreEachDividedAlike) {
  // Six rows stack q, k and v of two heads with one row each: a rank holds one head of each.
  Tensor whole({6, 1}), part({3, 1});
  for (std::int64_t i = 0; i < 6; ++i) whole.data<float>()[i] = static_cast<float>(i);
  take_part(part, whole, {0, 3}, {1, 2});
  EXPECT_EQ(part.data<float>()[0], 1);
  EXPECT_EQ(part.data<float>()[1], 3);
  EXPECT_EQ(part.data<float>()[2], 5);
}

TEST(ParamSplit, EveryRankDrawsItsPartOfTheSameNumbers) {
  ParamList list;
  const ParamId id = list.add({"w", {12, 5}, Init::normal, 0.02, true, {0, 3}});
  test::TestExec test_exec;
  Params whole(list, Params::Gradients::no);
  whole.initialise(test_exec, 7);
  for (int rank = 0; rank < 4; ++rank) {
    Params held(list, Params::Gradients::no, {rank, 4});
    held.initialise(test_exec, 7);
    Tensor want({3, 5});
    take_part(want, whole.weight(id), {0, 3}, {rank, 4});
    EXPECT_EQ(bits_differ(held.weight(id), want), "") << rank;
  }
}

}  // namespace
}  // namespace mixspan
