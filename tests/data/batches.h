// Reading and comparing batches in tests.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "data/loader.h"

namespace mixspan::test {

inline std::vector<std::int32_t> row_of(const Tensor& rows, std::int64_t b) {
  const std::int64_t T = rows.shape()[1];
  const std::int32_t* begin = rows.data<std::int32_t>() + b * T;
  return {begin, begin + T};
}
inline std::vector<std::vector<std::int32_t>> rows_of(const Tensor& rows) {
  std::vector<std::vector<std::int32_t>> all;
  for (std::int64_t b = 0; b < rows.shape()[0]; ++b) all.push_back(row_of(rows, b));
  return all;
}
inline std::vector<std::int32_t> tokens_of(const Batch& batch) { return row_of(batch.tokens, 0); }

/// Expects row `b` of `batch` to be the only row of `single`, in everything.
inline void expect_row(const Batch& batch, std::int64_t b, const Batch& single) {
  EXPECT_EQ(row_of(batch.tokens, b), row_of(single.tokens, 0));
  EXPECT_EQ(row_of(batch.targets, b), row_of(single.targets, 0));
  EXPECT_EQ(row_of(batch.positions, b), row_of(single.positions, 0));
  ASSERT_EQ(batch.document_start.view().empty(), single.document_start.view().empty());
  if (!batch.document_start.view().empty()) {
    EXPECT_EQ(row_of(batch.document_start, b), row_of(single.document_start, 0));
  }
}

/// Expects rows 0..8 to be the same at once, in halves, alone in any order, from threads, and from
/// a source opened again.
inline void expect_rows_are_pure(const SampleSource& source, const SampleSource& again) {
  const Batch whole = source.rows(0, 8);
  std::int64_t targets = 0;
  for (const std::int64_t b : {5, 0, 7, 2, 1, 6, 4, 3}) {
    const Batch single = again.rows(b, 1);
    expect_row(whole, b, single);
    targets += single.num_targets;
  }
  EXPECT_EQ(whole.num_targets, targets);
  const Batch half = source.rows(4, 4);
  for (std::int64_t b = 0; b < 4; ++b) expect_row(half, b, source.rows(4 + b, 1));
  std::vector<Batch> from_threads(4);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < from_threads.size(); ++i) {
    threads.emplace_back([&, i] { from_threads[i] = source.rows(0, 8); });
  }
  for (auto& thread : threads) thread.join();
  for (const Batch& batch : from_threads) {
    EXPECT_EQ(rows_of(batch.tokens), rows_of(whole.tokens));
    EXPECT_EQ(rows_of(batch.targets), rows_of(whole.targets));
  }
}

}  // namespace mixspan::test
