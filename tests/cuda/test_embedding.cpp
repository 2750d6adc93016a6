#include "kernels/embedding.h"

#include <cmath>

#include "tests/cuda/row_test.h"
#include "tests/kernels/dense_support.h"

namespace mixspan::test {
namespace {

class CudaEmbedding : public RowTest {
 protected:
  Tensor backward(const Tensor& table, const Tensor& dx, const Tensor& indices, Lie lie,
                  VocabShard shard = {}) const {
    PlacedRows on = place(table, lie), from = place(dx, lie);
    embedding_backward(exec(), on.view(), {}, from.view(), upload(indices), {}, shard);
    return fetch(on);
  }
};

TEST_F(CudaEmbedding, ForwardEqualsTheOracle) {
  constexpr std::int64_t V = 11, P = 64;
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t C : {1, 8, 17, 65, 2049}) {
      for (const std::int64_t rows : {1, 5}) {
        for (const Lie lie : kLies) {
          SCOPED_TRACE(fmt::format("{} C {} rows {} lie {}", name_of(dtype), C, rows,
                                   static_cast<int>(lie)));
          const Tensor tokens = random_indices(rows, V, 1), positions = random_indices(rows, P, 2);
          const Tensor wte = stored_random(dtype, {V, C}, 3), wpe = stored_random(dtype, {P, C}, 4);
          const Tensor token = upload(tokens), position = upload(positions);
          PlacedRows table = place(as_dtype(dtype, wte), lie);
          PlacedRows positional = place(as_dtype(dtype, wpe), lie);
          PlacedRows x = place_poisoned({rows, C}, dtype, lie);
          Tensor want({rows, C}, DType::f64);
          embedding_forward(exec(), x.view(), token, position, table.view(), positional.view());
          oracle::embedding_forward(want, tokens, positions, to_f64(wte), to_f64(wpe));
          EXPECT_EQ(differs(fetch(x), want, stored_as(dtype, kElementwise)), "");

          // A shard of the tokens, and no positions: the table's own bits, or zeros.
          x = place_poisoned({rows, C}, dtype, lie);
          embedding_forward(exec(), x.view(), token, {}, table.view().slice(0, 4, 9), {}, {4, V});
          oracle::embedding_forward(want, tokens, positions, to_f64(wte).view().slice(0, 4, 9), {},
                                    {4, V});
          EXPECT_EQ(bits_differ(fetch(x), as_dtype(dtype, want)), "");
        }
      }
    }
  }
}

TEST_F(CudaEmbedding, AnIndexOutsideItsTableMakesItsRowNans) {
  for (const DType dtype : kModelTypes) {
    for (const std::int32_t bad : {-1, 9, 1000}) {
      for (const bool bad_token : {false, true}) {
        Tensor good({3}, DType::i32), indices({3}, DType::i32);
        indices.data<std::int32_t>()[1] = bad;
        const Tensor wte = upload(as_dtype(dtype, random_tensor({7, 12}, 1)));
        const Tensor wpe = upload(as_dtype(dtype, random_tensor({9, 12}, 2)));
        Tensor x = poisoned({3, 12}, dtype);
        embedding_forward(exec(), x, upload(bad_token ? indices : good),
                          upload(bad_token ? good : indices), wte, wpe);
        const Tensor got = as_dtype(DType::f32, download(x));
        for (std::int64_t i = 0; i < got.size(); ++i) {
          EXPECT_EQ(std::isnan(got.data<float>()[i]), i / 12 == 1) << bad << " " << i;
        }
      }
    }
    // Its gradient goes nowhere.
    Tensor indices({3}, DType::i32), dwte = upload(Tensor({7, 12}));
    indices.data<std::int32_t>()[0] = -1;
    indices.data<std::int32_t>()[1] = 7;
    indices.data<std::int32_t>()[2] = 1 << 30;
    embedding_backward(exec(), dwte, {}, upload(as_dtype(dtype, random_tensor({3, 12}, 1))),
                       upload(indices), {});
    EXPECT_EQ(bits_differ(download(dwte), Tensor({7, 12})), "");
  }
}

TEST_F(CudaEmbedding, BackwardEqualsTheOracle) {
  constexpr std::int64_t V = 11, P = 64;
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t C : {1, 8, 65, 300}) {
      for (const std::int64_t rows : {1, 65, 300}) {
        SCOPED_TRACE(fmt::format("{} C {} rows {}", name_of(dtype), C, rows));
        const Tensor tokens = random_indices(rows, V, 1), positions = random_indices(rows, P, 2);
        const Tensor wte = random_tensor({V, C}, 3), wpe = random_tensor({P, C}, 4);
        const Tensor dx = stored_random(dtype, {rows, C}, 5);
        Tensor want_dwte = to_f64(wte), want_dwpe = to_f64(wpe);
        oracle::embedding_backward(want_dwte, want_dwpe, to_f64(dx), tokens, positions);
        Tensor dwte = upload(wte), dwpe = upload(wpe);
        embedding_backward(exec(), dwte, dwpe, upload(as_dtype(dtype, dx)), upload(tokens),
                           upload(positions));
        EXPECT_EQ(differs(download(dwte), want_dwte, kReduction), "");
        EXPECT_EQ(differs(download(dwpe), want_dwpe, kReduction), "");
      }
    }
  }
}

// What the contract says, in fp32: rows of one index in their order, 64 at a time; the sums of
// those in order; then what was there.
Tensor summed_by_the_contract(const Tensor& table, const Tensor& dx, const Tensor& indices,
                              std::int64_t begin) {
  constexpr std::int64_t kPiece = 64;
  Tensor result = copy_of(table);
  const std::int64_t C = table.shape()[1];
  for (std::int64_t v = 0; v < table.shape()[0]; ++v) {
    std::vector<std::int64_t> rows;
    for (std::int64_t r = 0; r < indices.size(); ++r) {
      if (indices.data<std::int32_t>()[r] == begin + v) rows.push_back(r);
    }
    const auto n = static_cast<std::int64_t>(rows.size());
    for (std::int64_t c = 0; c < C && n > 0; ++c) {
      float total = 0;
      for (std::int64_t first = 0; first < n; first += kPiece) {
        float sum = 0;
        for (std::int64_t i = first; i < std::min(n, first + kPiece); ++i) {
          sum += dx.data<float>()[rows[static_cast<std::size_t>(i)] * C + c];
        }
        total += sum;
      }
      result.data<float>()[v * C + c] += total;
    }
  }
  return result;
}

// Indices whose counts lie around whole pieces, in some order among each other.
Tensor indices_with_counts(const std::vector<std::int64_t>& counts, std::int64_t rows) {
  std::vector<std::int32_t> all;
  for (std::size_t v = 0; v < counts.size(); ++v) {
    all.insert(all.end(), static_cast<std::size_t>(counts[v]), static_cast<std::int32_t>(v));
  }
  Tensor indices({rows}, DType::i32);
  const Tensor draws = random_indices(rows, 1 << 20, 3);
  for (std::int64_t r = 0; r < rows; ++r) {  // every draw takes one out of what is left
    const std::size_t at = static_cast<std::size_t>(draws.data<std::int32_t>()[r]) % all.size();
    indices.data<std::int32_t>()[r] = all[at];
    all[at] = all.back();
    all.pop_back();
  }
  return indices;
}

TEST_F(CudaEmbedding, BackwardSumsInTheOrderOfTheContractSlow) {
  const std::vector<std::int64_t> counts = {64, 1, 65, 0, 63, 128, 129, 2, 1, 66};
  std::int64_t rows = 0;
  for (const std::int64_t n : counts) rows += n;
  const Tensor indices = indices_with_counts(counts, rows);
  const auto V = static_cast<std::int64_t>(counts.size());
  for (const DType dtype : kModelTypes) {
    for (const std::int64_t C : {5, 8, 130}) {
      for (const Lie lie : kLies) {
        if (C == 130 && lie == Lie::apart) continue;
        SCOPED_TRACE(fmt::format("{} C {} lie {}", name_of(dtype), C, static_cast<int>(lie)));
        const Tensor dx = stored_random(dtype, {rows, C}, 1), table = random_tensor({V, C}, 2);
        const auto run = [&] {
          std::vector<Tensor> results;
          results.push_back(backward(table, as_dtype(dtype, dx), indices, lie));
          return results;
        };
        const auto got = C == 8 && lie == Lie::together ? steady(run) : run();
        EXPECT_EQ(bits_differ(got[0], summed_by_the_contract(table, dx, indices, 0)), "");

        const Tensor part = copy_of(table.view().slice(0, 4, 7));
        EXPECT_EQ(bits_differ(backward(part, as_dtype(dtype, dx), indices, lie, {4, V}),
                              summed_by_the_contract(part, dx, indices, 4)),
                  "");
      }
    }
  }
}

TEST_F(CudaEmbedding, BackwardOfOneTokenAlone) {
  for (const std::int64_t rows : {1, 63, 64, 65, 128, 1025, 2100}) {
    for (const std::int32_t token : {0, 2}) {
      Tensor indices({rows}, DType::i32);
      std::fill_n(indices.data<std::int32_t>(), rows, token);
      const Tensor dx = random_tensor({rows, 4}, 1), table = random_tensor({3, 4}, 2);
      EXPECT_EQ(bits_differ(backward(table, dx, indices, Lie::together),
                            summed_by_the_contract(table, dx, indices, 0)),
                "")
          << rows << " rows of token " << token;
    }
  }
}

// Keys of several digits, more rows than a block of the sort has.
TEST_F(CudaEmbedding, BackwardOfALargeVocabulary) {
  constexpr std::int64_t V = 70000, rows = 2500, C = 4;
  Tensor indices = random_indices(rows, V, 1);
  for (std::int64_t r = 0; r < rows; r += 3) indices.data<std::int32_t>()[r] = 65537;
  indices.data<std::int32_t>()[1] = V - 1;
  indices.data<std::int32_t>()[2] = 0;
  const Tensor dx = random_tensor({rows, C}, 1);
  const Tensor got = backward(Tensor({V, C}), dx, indices, Lie::together);
  Tensor want({V, C});
  std::vector<std::int32_t> distinct(indices.data<std::int32_t>(),
                                     indices.data<std::int32_t>() + rows);
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (const std::int32_t v : distinct) {
    const Tensor row = summed_by_the_contract(Tensor({1, C}), dx, indices, v);
    std::copy_n(row.data<float>(), C, want.data<float>() + v * C);
  }
  EXPECT_EQ(bits_differ(got, want), "");
}

}  // namespace
}  // namespace mixspan::test
