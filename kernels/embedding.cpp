#include "kernels/embedding.h"

#include <algorithm>

#include "core/trace.h"
#include "kernels/chunks.h"
#include "kernels/cuda/embedding.h"
#include "kernels/indices.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

void check_shapes(const ConstView& x, const ConstView& tokens, const ConstView& positions,
                  const ConstView& wte, const ConstView& wpe) {
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  check_shape("embedding: token table", wte, {wte.dim(0), C});
  check_shape("embedding: token", tokens, {rows});
  check_dtype("embedding: token", tokens, DType::i32);
  if (wpe.empty()) return;
  check_shape("embedding: position table", wpe, {wpe.dim(0), C});
  check_shape("embedding: position", positions, {rows});
  check_dtype("embedding: position", positions, DType::i32);
}

void check_values(const ConstView& tokens, const ConstView& positions, const ConstView& wte,
                  const ConstView& wpe, const VocabShard& shard) {
  const std::int64_t rows = tokens.dim(0);
  check_indices("embedding: token", tokens, rows, shard.vocab(wte.dim(0)));
  if (!wpe.empty()) check_indices("embedding: position", positions, rows, wpe.dim(0));
}

// Row `index` of a table.
const float* row_of(const ConstView& table, std::int64_t index) {
  return table.data<float>() + index * table.stride(0);
}

}  // namespace

void embedding_forward(const Exec& exec, View x, ConstView tokens, ConstView positions,
                       ConstView wte, ConstView wpe, VocabShard shard) {
  const TraceRange range(exec.tracer, "embedding");
  check_shapes(x, tokens, positions, wte, wpe);
  if (exec.device.is_cuda()) {
    return cuda::embedding_forward(exec, x, tokens, positions, wte, wpe, shard);
  }
  if (exec.oracle) return oracle::embedding_forward(x, tokens, positions, wte, wpe, shard);
  check_values(tokens, positions, wte, wpe, shard);
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, rows, rows_per_chunk(C), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t token = tokens.data<std::int32_t>()[r];
      const bool held = shard.holds(token, wte.dim(0));
      const float* a = held ? row_of(wte, token - shard.begin) : nullptr;
      const float* b = wpe.empty() ? nullptr : row_of(wpe, positions.data<std::int32_t>()[r]);
      float* out = x.data<float>() + r * x.stride(0);
      if (a != nullptr && b != nullptr) {
        ops.sum_of(out, a, b, C);
      } else if (a != nullptr || b != nullptr) {
        std::copy_n(a != nullptr ? a : b, C, out);
      } else {
        std::fill_n(out, C, 0.0f);
      }
    }
  });
}

void embedding_backward(const Exec& exec, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions, VocabShard shard) {
  const TraceRange range(exec.tracer, "embedding");
  check_shapes(dx, tokens, positions, dwte, dwpe);
  if (exec.device.is_cuda()) {
    return cuda::embedding_backward(exec, dwte, dwpe, dx, tokens, positions, shard);
  }
  if (exec.oracle) return oracle::embedding_backward(dwte, dwpe, dx, tokens, positions, shard);
  check_values(tokens, positions, dwte, dwpe, shard);
  const std::int64_t rows = dx.dim(0), C = dx.dim(1);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  // Each thread owns a slice of channels and walks all rows in order, so rows that share a token
  // meet in row order, and no row needs sorting or atomics. The slices change no sum.
  constexpr std::int64_t kCacheLine = 16;
  const std::int64_t slice_wanted = chunk_count(C, exec.threads.size());
  const std::int64_t slice = chunk_count(slice_wanted, kCacheLine) * kCacheLine;
  for_each_chunk(exec.threads, C, slice, [&](std::int64_t begin, std::int64_t end, auto) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t token = tokens.data<std::int32_t>()[r];
      const float* from = dx.data<float>() + r * dx.stride(0) + begin;
      if (shard.holds(token, dwte.dim(0))) {
        ops.add(dwte.data<float>() + (token - shard.begin) * dwte.stride(0) + begin, from,
                end - begin);
      }
      if (dwpe.empty()) continue;
      const std::int64_t position = positions.data<std::int32_t>()[r];
      ops.add(dwpe.data<float>() + position * dwpe.stride(0) + begin, from, end - begin);
    }
  });
}

}  // namespace mixspan
