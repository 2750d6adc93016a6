#include "kernels/embedding.h"

#include "kernels/chunks.h"
#include "kernels/simd/row_ops.h"

namespace mixspan {

namespace {

void check_indices(std::string_view name, const ConstView& indices, std::int64_t rows,
                   const ConstView& table, std::int64_t C) {
  check_shape(name, indices, {rows});
  check_shape(name, table, {table.dim(0), C});
  const std::int32_t* index = indices.data<std::int32_t>();
  for (std::int64_t r = 0; r < rows; ++r) {
    check(index[r] >= 0 && index[r] < table.dim(0), "{} {} of row {} is outside [0, {})", name,
          index[r], r, table.dim(0));
  }
}

}  // namespace

void embedding_forward(const Exec& exec, View x, ConstView tokens, ConstView positions,
                       ConstView wte, ConstView wpe) {
  if (exec.oracle) return oracle::embedding_forward(x, tokens, positions, wte, wpe);
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  check_indices("embedding_forward: token", tokens, rows, wte, C);
  check_indices("embedding_forward: position", positions, rows, wpe, C);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  for_each_chunk(exec.threads, rows, rows_per_chunk(C), [&](auto begin, auto end, auto) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t token = tokens.data<std::int32_t>()[r];
      const std::int64_t position = positions.data<std::int32_t>()[r];
      ops.sum_of(x.data<float>() + r * x.stride(0), wte.data<float>() + token * wte.stride(0),
                 wpe.data<float>() + position * wpe.stride(0), C);
    }
  });
}

void embedding_backward(const Exec& exec, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions) {
  if (exec.oracle) return oracle::embedding_backward(dwte, dwpe, dx, tokens, positions);
  const std::int64_t rows = dx.dim(0), C = dx.dim(1);
  check_indices("embedding_backward: token", tokens, rows, dwte, C);
  check_indices("embedding_backward: position", positions, rows, dwpe, C);
  const simd::RowOps& ops = simd::row_ops(exec.isa);
  // Each thread owns a slice of channels and walks all rows in order, so rows that share a token
  // meet in row order, and no row needs sorting or atomics. The slices change no sum.
  constexpr std::int64_t kCacheLine = 16;
  const std::int64_t share = chunk_count(C, exec.threads.size());
  const std::int64_t slice = chunk_count(share, kCacheLine) * kCacheLine;
  for_each_chunk(exec.threads, C, slice, [&](std::int64_t begin, std::int64_t end, auto) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t token = tokens.data<std::int32_t>()[r];
      const std::int64_t position = positions.data<std::int32_t>()[r];
      const float* from = dx.data<float>() + r * dx.stride(0) + begin;
      ops.add(dwte.data<float>() + token * dwte.stride(0) + begin, from, end - begin);
      ops.add(dwpe.data<float>() + position * dwpe.stride(0) + begin, from, end - begin);
    }
  });
}

}  // namespace mixspan
