// What the attention kernels are told, as plain values; and the spans on a device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/dtype.h"
#include "kernels/attention.h"
#include "kernels/tile_ranges.h"

namespace mixspan::cuda {

/// Rows of H elements: (B, T, heads, H) of which the last dim is contiguous.
template <class T>
struct HeadRows {
  T* data;
  std::int64_t batch, row, head;  ///< strides

  __device__ T* at(std::int64_t b, std::int64_t r, std::int64_t n) const {
    return data + b * batch + r * row + n * head;
  }
};
template <class T>
HeadRows<T> head_rows(const View& x) {
  return {x.data<T>(), x.stride(0), x.stride(1), x.stride(2)};
}
template <class T>
HeadRows<const T> head_rows(const ConstView& x) {
  return {x.data<T>(), x.stride(0), x.stride(1), x.stride(2)};
}

/// One number for each query row: (B, N, Tq) of which the last dim is contiguous.
template <class T>
struct RowNumbers {
  T* data;
  std::int64_t batch, head;

  __device__ T* at(std::int64_t b, std::int64_t n) const { return data + b * batch + n * head; }
};
inline RowNumbers<float> row_numbers(const View& x) {
  return {x.data<float>(), x.stride(0), x.stride(1)};
}
inline RowNumbers<const float> row_numbers(const ConstView& x) {
  return {x.data<float>(), x.stride(0), x.stride(1)};
}

/// AnySpan as a device can ask it.
struct DeviceSpan {
  enum class Kind : std::int32_t { full, sliding, block } kind = Kind::full;
  std::int64_t size = 0, previous = 0;

  constexpr std::int64_t lo(std::int64_t i) const {
    if (kind == Kind::sliding) return SlidingSpan{size}.lo(i);
    if (kind == Kind::block) return BlockSpan{size, previous}.lo(i);
    return FullSpan{}.lo(i);
  }
};
DeviceSpan device_span(const AnySpan& span);

/// The span of one sequence, cut at its documents' starts. Asked only for positions of query rows.
struct SequenceSpan {
  DeviceSpan span;
  const std::int32_t* start = nullptr;  ///< of query row 0; null: one document
  std::int64_t step = 1, first_query = 0;

  __host__ __device__ constexpr std::int64_t lo(std::int64_t i) const {
    const std::int64_t reach = span.lo(i);
    return start == nullptr ? reach
                            : std::max<std::int64_t>(reach, start[(i - first_query) * step]);
  }
};

/// Sizes as kernels/attention.h names them, and the rule.
struct AttentionSizes {
  std::int32_t B, Tq, Tk, N, K, H, group;
  std::int64_t first_query, first_key;
  DeviceSpan span;
  const std::int32_t* start;  ///< (B, Tq) first positions of documents, or null
  std::int64_t start_batch, start_row;
  float scale;

  __device__ SequenceSpan sequence(std::int64_t b) const {
    return {span, start == nullptr ? nullptr : start + b * start_batch, start_row, first_query};
  }
  /// Positions of query rows, and of all key rows; key rows from positions.
  __device__ Range positions(Range rows) const {
    return {rows.begin + first_query, rows.end + first_query};
  }
  __device__ Range held_keys() const { return {first_key, first_key + Tk}; }
  __device__ Range held_queries() const { return {first_query, first_query + Tq}; }
  __device__ Range key_rows(Range keys) const {
    return {keys.begin - first_key, keys.end - first_key};
  }
  __device__ Range query_rows(Range queries) const {
    return {queries.begin - first_query, queries.end - first_query};
  }
};
/// Throws when a size does not fit.
AttentionSizes attention_sizes(const ConstView& q, const ConstView& k, const AttentionRule& rule);

}  // namespace mixspan::cuda
