#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include "tests/kernels/dense_support.h"
#include "tests/support/close.h"

namespace mixspan {
namespace {

using test::bits_differ;
using test::differs;
using test::kReduction;
using test::poisoned_tensor;
using test::random_indices;
using test::random_tensor;
using test::TestExec;

TEST(Embedding, AgreesWithTheOracleOnEveryInstructionSet) {
  TestExec exec(2);
  for (const std::int64_t C : test::kLengths) {
    for (const std::int64_t rows : {1, 65, 1000}) {
      constexpr std::int64_t V = 11, P = 64;  // few tokens: many rows share one
      const Tensor tokens = random_indices(rows, V, 1), positions = random_indices(rows, P, 2);
      const Tensor wte = random_tensor({V, C}, 3), wpe = random_tensor({P, C}, 4);
      const Tensor dx = random_tensor({rows, C}, 5);
      Tensor want_x({rows, C}, DType::f64);
      Tensor want_dwte = test::to_f64(wte), want_dwpe = test::to_f64(wpe);
      oracle::embedding_forward(want_x, tokens, positions, wte, wpe);
      oracle::embedding_backward(want_dwte, want_dwpe, dx, tokens, positions);
      for (const Isa isa : test::available_isas()) {
        const std::string what = fmt::format("{} C {} rows {}", name_of(isa), C, rows);
        Tensor x = poisoned_tensor({rows, C});
        Tensor dwte = test::copy_of(wte), dwpe = test::copy_of(wpe);
        embedding_forward(with_isa(exec, isa), x, tokens, positions, wte, wpe);
        embedding_backward(with_isa(exec, isa), dwte, dwpe, dx, tokens, positions);
        EXPECT_EQ(differs(x, want_x, test::kElementwise), "") << what;
        EXPECT_EQ(differs(dwte, want_dwte, kReduction), "") << what;
        EXPECT_EQ(differs(dwpe, want_dwpe, kReduction), "") << what;
      }
    }
  }
}

TEST(Embedding, ShardsOfTheVocabularyAddUpToTheWhole) {
  TestExec exec(2);
  constexpr std::int64_t V = 11, P = 64, C = 65, rows = 200;
  const Tensor tokens = random_indices(rows, V, 1), positions = random_indices(rows, P, 2);
  const Tensor wte = random_tensor({V, C}, 3), wpe = random_tensor({P, C}, 4);
  const Tensor dx = random_tensor({rows, C}, 5);
  Tensor whole({rows, C}), dwte({V, C}), dwpe({P, C});
  embedding_forward(exec, whole, tokens, positions, wte, wpe);
  embedding_backward(exec, dwte, dwpe, dx, tokens, positions);
  Tensor sum({rows, C}), dwte_parts = poisoned_tensor({V, C}), dwpe_first({P, C});
  for (const auto& [begin, end] : {std::pair{0, 4}, {4, 4}, {4, 11}}) {
    const ConstView table = wte.view().slice(0, begin, end);
    const ConstView position_table = begin == 0 ? wpe.view() : ConstView();
    const VocabShard shard{begin, V};
    Tensor x = poisoned_tensor({rows, C}), want({rows, C}, DType::f64);
    embedding_forward(exec, x, tokens, positions, table, position_table, shard);
    oracle::embedding_forward(want, tokens, positions, table, position_table, shard);
    EXPECT_EQ(differs(x, want, test::kElementwise), "") << begin;
    for (std::int64_t i = 0; i < sum.size(); ++i) sum.data<float>()[i] += x.data<float>()[i];
    const View d_table = dwte_parts.view().slice(0, begin, end);
    std::fill_n(d_table.data<float>(), d_table.size(), 0.0f);
    embedding_backward(exec, d_table, begin == 0 ? dwpe_first.view() : View(), dx, tokens,
                       positions, shard);
  }
  EXPECT_EQ(bits_differ(sum, whole), "");
  EXPECT_EQ(bits_differ(dwte_parts, dwte), "");
  EXPECT_EQ(bits_differ(dwpe_first, dwpe), "");
}

TEST(Embedding, BitsDoNotDependOnThreads) {
  constexpr std::int64_t rows = 1000, V = 5, P = 100, C = 300;
  const Tensor tokens = random_indices(rows, V, 1), positions = random_indices(rows, P, 2);
  const Tensor dx = random_tensor({rows, C}, 5);
  TestExec one(1);
  Tensor dwte({V, C}), dwpe({P, C});
  embedding_backward(one, dwte, dwpe, dx, tokens, positions);
  for (const int threads : {2, 3, 5}) {
    TestExec exec(threads);
    Tensor dwte2({V, C}), dwpe2({P, C});
    embedding_backward(exec, dwte2, dwpe2, dx, tokens, positions);
    EXPECT_EQ(bits_differ(dwte2, dwte), "") << threads;
    EXPECT_EQ(bits_differ(dwpe2, dwpe), "") << threads;
  }
}

TEST(Embedding, IndicesOutsideTheTablesThrowBeforeAnythingIsWritten) {
  TestExec exec(2);
  const Tensor wte({7, 4}), wpe({9, 4}), good({2}, DType::i32);
  for (const std::int32_t bad : {-1, 9, 1000}) {
    Tensor indices({2}, DType::i32);
    indices.data<std::int32_t>()[1] = bad;
    Tensor x({2, 4}), dwte({7, 4}), dwpe({9, 4});
    std::fill_n(x.data<float>(), 8, 1.0f);
    EXPECT_THROW(embedding_forward(exec, x, indices, good, wte, wpe), Error);
    EXPECT_THROW(embedding_forward(exec, x, good, indices, wte, wpe), Error);
    EXPECT_THROW(embedding_backward(exec, dwte, dwpe, x, indices, good), Error);
    EXPECT_THROW(embedding_backward(exec, dwte, dwpe, x, good, indices), Error);
    EXPECT_EQ(bits_differ(dwte, Tensor({7, 4})), "");
    EXPECT_EQ(bits_differ(dwpe, Tensor({9, 4})), "");
  }
}

TEST(EmbeddingOracle, GradientsAreTheCentralDifferences) {
  constexpr std::int64_t rows = 6, V = 3, P = 4, C = 2;
  const Tensor tokens = random_indices(rows, V, 1), positions = random_indices(rows, P, 2);
  Tensor wte = random_tensor({V, C}, 3, 1, DType::f64),
         wpe = random_tensor({P, C}, 4, 1, DType::f64);
  const Tensor dx = random_tensor({rows, C}, 5, 1, DType::f64);
  Tensor x({rows, C}, DType::f64), dwte({V, C}, DType::f64), dwpe({P, C}, DType::f64);
  const auto loss = [&] {
    oracle::embedding_forward(x, tokens, positions, wte, wpe);
    return test::dot(x, dx);
  };
  oracle::embedding_backward(dwte, dwpe, dx, tokens, positions);
  EXPECT_EQ(differs(dwte, test::central_differences(wte, loss), test::kFiniteDifference), "");
  EXPECT_EQ(differs(dwpe, test::central_differences(wpe, loss), test::kFiniteDifference), "");
}

}  // namespace
}  // namespace mixspan
