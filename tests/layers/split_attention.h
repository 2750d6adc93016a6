// One layer's attention on ranks that are threads, each with the rows that a layout gives it: what
// it computes, joined again, and what each rank sent.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/trace.h"
#include "parallel/exchange_bytes.h"
#include "parallel/thread_ranks.h"
#include "tests/kernels/attention_cases.h"

namespace mixspan::test {

struct SplitAttention {
  AnySpan span;
  Transport transport;
  ConstView document_start;                               ///< (B, T) i32, or empty
  std::span<const std::unique_ptr<Tracer>> tracers = {};  ///< one for each rank, or none
};

/// Results of the whole sequence, full of NaN where no rank wrote.
struct SplitResult {
  Tensor o, dq, dk, dv;              ///< (B, T, N, H)
  std::vector<ExchangeBytes> moved;  ///< of each rank: counted by its cp communicator
};

/// Forward and backward of whole inputs (N heads of queries and of keys). Queries, keys and values
/// are strided views of packed rows, as in a layer. Fails the test where a byte is counted under
/// another layer.
SplitResult run_split(const AttentionTensors& whole, const SequenceLayout&, const SplitAttention&,
                      const ThreadRankOptions& = {.timeout_seconds = 60});

}  // namespace mixspan::test
