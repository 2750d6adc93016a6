// How the memory-bound operations share their work.
#pragma once

#include <algorithm>

#include "core/thread_pool.h"

namespace mixspan {

/// Elements of a chunk of an element-wise operation: 64 KiB of fp32, which several arrays of fit in
/// a core's second-level cache.
inline constexpr std::int64_t kChunk = 16384;

inline std::int64_t chunk_count(std::int64_t n, std::int64_t length) {
  return (n + length - 1) / length;
}

/// The next multiple of `to`.
inline std::int64_t round_up(std::int64_t n, std::int64_t to) { return chunk_count(n, to) * to; }

/// Rows of `width` elements that make about one chunk; a function of the width alone.
inline std::int64_t rows_per_chunk(std::int64_t width) {
  return std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(width, 1));
}

/// Calls body(begin, end, chunk) on all threads for the consecutive pieces of [0, n) that are
/// `length` long (the last may be shorter). The pieces do not depend on the number of threads.
template <class Body>
void for_each_chunk(ThreadPool& threads, std::int64_t n, std::int64_t length, Body&& body) {
  threads.for_each(chunk_count(n, length), [&](std::int64_t chunk, int) {
    body(chunk * length, std::min(n, (chunk + 1) * length), chunk);
  });
}

}  // namespace mixspan
