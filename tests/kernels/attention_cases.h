// Spans, shapes and documents that attention is tried on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cpu.h"
#include "core/tensor.h"
#include "kernels/attention.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

/// The instruction sets of this machine that kernels have a path for.
inline std::vector<Isa> runnable_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    if (isa <= best_isa()) isas.push_back(isa);
  }
  return isas;
}

/// Every kind of span, with sizes that divide nothing, one key, one more than T and far more.
inline std::vector<AnySpan> awkward_spans(std::int64_t T) {
  return {FullSpan{},      SlidingSpan{1},          SlidingSpan{7},
          SlidingSpan{64}, SlidingSpan{T},          SlidingSpan{T + 9},
          BlockSpan{5},    BlockSpan{64},           BlockSpan{T + 1},
          BlockSpan{1},    BlockSpan{T / 3 + 1, 1}, BlockSpan{5, 1}};
}

/// (B, T) i32 first positions of the documents, whose lengths repeat `lengths`, shifted by one
/// for each sequence of the batch.
inline Tensor documents(std::int64_t B, std::int64_t T, const std::vector<std::int64_t>& lengths) {
  Tensor start({B, T}, DType::i32);
  for (std::int64_t b = 0; b < B; ++b) {
    std::int64_t begin = 0, end = lengths[0] + b;
    std::size_t document = 0;
    for (std::int64_t j = 0; j < T; ++j) {
      if (j == end) {
        begin = end;
        document = (document + 1) % lengths.size();
        end += lengths[document];
      }
      start.data<std::int32_t>()[b * T + j] = static_cast<std::int32_t>(begin);
    }
  }
  return start;
}

/// Sizes of one attention; N query heads, K key/value heads.
struct AttentionSize {
  std::int64_t B, Tq, Tk, N, K, H;
  std::string str() const {
    return fmt::format("B={} Tq={} Tk={} N={} K={} H={}", B, Tq, Tk, N, K, H);
  }
};

/// Inputs, and outputs full of NaN.
struct AttentionTensors {
  explicit AttentionTensors(const AttentionSize& s, DType dtype = DType::f32)
      : q(random_tensor({s.B, s.Tq, s.N, s.H}, 1, 1.0, dtype)),
        k(random_tensor({s.B, s.Tk, s.K, s.H}, 2, 1.0, dtype)),
        v(random_tensor({s.B, s.Tk, s.K, s.H}, 3, 1.0, dtype)),
        do_(random_tensor({s.B, s.Tq, s.N, s.H}, 4, 1.0, dtype)),
        o(poisoned_tensor(q.shape(), dtype)),
        lse(poisoned_tensor({s.B, s.N, s.Tq}, dtype)),
        dq(poisoned_tensor(q.shape(), dtype)),
        dk(poisoned_tensor(k.shape(), dtype)),
        dv(poisoned_tensor(v.shape(), dtype)) {}

  Tensor q, k, v, do_, o, lse, dq, dk, dv;
};

}  // namespace mixspan::test
