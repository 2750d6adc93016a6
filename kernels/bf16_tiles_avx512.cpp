// The AVX512-BF16 version of bf16_tiles.h. Nothing here calls an inline function of another file:
// the linker could hand its code, compiled for these instructions, to a processor without them.
#include "kernels/bf16_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace mixspan::bf16_product::avx512 {

namespace {

inline __mmask16 first_lanes(std::int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u);
}

// Two vectors of floats as bf16, `first` in the low half.
inline __m512i rounded(__m512 first, __m512 second) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
}

inline void store_halves(const PackJob& job, std::int64_t pair, __m512i pairs) {
  const std::int64_t at = pair * job.step;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.low + at), _mm512_castsi512_si256(pairs));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(job.high + at),
                      _mm512_extracti64x4_epi64(pairs, 1));
}

// Word 2 i of the result is lane i of the first line, word 2 i + 1 lane i of the second.
inline __m512i in_turn(__m512i lines) {
  alignas(64) static constexpr std::uint16_t kInTurn[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(kInTurn), lines);
}

inline __m512 widened(__m256i x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

// Up to 16 numbers of a line of a source, as they are and as fp32.
struct Floats {
  using Line = __m512;
  static Line load(const void* data, std::int64_t at, __mmask16 rows) {
    return _mm512_maskz_loadu_ps(rows, static_cast<const float*>(data) + at);
  }
  static Line zeros() { return _mm512_setzero_ps(); }
  static __m512 value(Line line) { return line; }
  static __m512i joined(Line first, Line second) { return rounded(first, second); }
};
struct Halves {
  using Line = __m256i;
  static Line load(const void* data, std::int64_t at, __mmask16 rows) {
    return _mm256_maskz_loadu_epi16(rows, static_cast<const std::uint16_t*>(data) + at);
  }
  static Line zeros() { return _mm256_setzero_si256(); }
  static __m512 value(Line line) { return widened(line); }
  static __m512i joined(Line first, Line second) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }
};

// Rows lie beside each other: a pair is two numbers of neighbouring lines.
template <class Numbers, bool kSums>
void pack_by_depth(const PackJob& job) {
  const __mmask16 rows = first_lanes(job.rows);
  const std::int64_t stride = job.from.stride;
  __m512 sum = kSums ? _mm512_maskz_loadu_ps(rows, job.sums) : _mm512_setzero_ps();
  for (std::int64_t k = 0; k < job.depth; k += 2) {
    const auto first = Numbers::load(job.from.data, k * stride, rows);
    auto second = Numbers::zeros();
    if (k + 1 < job.depth) second = Numbers::load(job.from.data, (k + 1) * stride, rows);
    if (kSums) {
      sum = _mm512_add_ps(_mm512_add_ps(sum, Numbers::value(first)), Numbers::value(second));
    }
    store_halves(job, k / 2, in_turn(Numbers::joined(first, second)));
  }
  if (kSums) _mm512_mask_storeu_ps(job.sums, rows, sum);
}

// Lane j of x[i] becomes lane i of x[j].
inline void transpose(__m512i (&x)[16]) {
  __m512i y[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  // x[4 i + j] now has, in each of its four parts q, lanes 4 i .. 4 i + 3 of column 4 q + j.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    y[j] = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x88);
    y[4 + j] = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xdd);
    y[8 + j] = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x88);
    y[12 + j] = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xdd);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    x[j] = _mm512_shuffle_i32x4(y[j], y[8 + j], 0x88);
    x[8 + j] = _mm512_shuffle_i32x4(y[j], y[8 + j], 0xdd);
    x[4 + j] = _mm512_shuffle_i32x4(y[4 + j], y[12 + j], 0x88);
    x[12 + j] = _mm512_shuffle_i32x4(y[4 + j], y[12 + j], 0xdd);
  }
}

// Up to 32 numbers that follow each other, as bf16.
inline __m512i row_pairs(const Source& from, std::int64_t at, std::int64_t count) {
  if (from.is_bf16) {
    const auto mask = static_cast<__mmask32>(count >= 32 ? ~0u : (1u << count) - 1u);
    return _mm512_maskz_loadu_epi16(mask, static_cast<const std::uint16_t*>(from.data) + at);
  }
  const float* p = static_cast<const float*>(from.data) + at;
  return rounded(_mm512_maskz_loadu_ps(first_lanes(count), p),
                 _mm512_maskz_loadu_ps(first_lanes(count - kLanes), p + kLanes));
}

// A row's numbers lie beside each other: sixteen pairs of each row make a square to be transposed.
void pack_by_row(const PackJob& job) {
  for (std::int64_t k = 0; k < job.depth; k += 2 * kLanes) {
    const std::int64_t left = job.depth - k;
    __m512i pairs[kPackRows];
#pragma GCC unroll 16
    for (int r = 0; r < kPackRows; ++r) {
      pairs[r] = r < job.rows ? row_pairs(job.from, r * job.from.stride + k, left)
                              : _mm512_setzero_si512();
    }
    transpose(pairs);
    const std::int64_t count = (left + 1) / 2 < kLanes ? (left + 1) / 2 : kLanes;
    if (count == kLanes) {
#pragma GCC unroll 16
      for (int p = 0; p < kLanes; ++p) store_halves(job, k / 2 + p, pairs[p]);
    } else {
      for (int p = 0; p < count; ++p) store_halves(job, k / 2 + p, pairs[p]);
    }
  }
}

void pack(const PackJob& job) {
  if (!job.from.by_depth) return pack_by_row(job);
  const bool sums = job.sums != nullptr;
  if (job.from.is_bf16) {
    sums ? pack_by_depth<Halves, true>(job) : pack_by_depth<Halves, false>(job);
  } else {
    sums ? pack_by_depth<Floats, true>(job) : pack_by_depth<Floats, false>(job);
  }
}

inline void fetch(const float* p) { __builtin_prefetch(p, 0, 3); }
inline void fetch_to_write(const float* p) { __builtin_prefetch(p, 1, 3); }

template <int kVectors>
inline void sum_tile(const TileJob& given) {
  const TileJob job = given;  // a copy: the stores could alias what a reference names
  __m512 sums[kTileRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_setzero_ps();
    if (r >= job.rows) continue;
      // What is read and written behind the loop, fetched while it runs.
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) fetch_to_write(job.c + r * job.c_stride + v * kLanes);
    if (job.start == nullptr) continue;
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) fetch(job.start + r * job.start_stride + v * kLanes);
  }
  const std::uint32_t *a = job.a, *b = job.b;
  for (std::int64_t p = 0; p < job.pairs; ++p) {
    __m512bh right[kVectors];
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      right[v] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + v * kLanes));
    }
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      __m512i left = _mm512_set1_epi32(static_cast<int>(a[r]));
      __asm__("" : "+v"(left));  // in a register: else it would be read again for each vector
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], reinterpret_cast<__m512bh>(left), right[v]);
      }
    }
    a += kTileRows;
    b += kVectors * kLanes;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
    if (r >= job.rows) break;
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v) {
      const __mmask16 cols = first_lanes(job.cols - v * kLanes);
      __m512 sum = sums[r][v];
      if (job.start != nullptr) {
        const float* start = job.start + r * job.start_stride + v * kLanes;
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(cols, start));
      }
      if (job.bias != nullptr) {
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(cols, job.bias + v * kLanes));
      }
      float* to = job.c + r * job.c_stride + v * kLanes;
      if (cols == 0xffff) {
        _mm512_storeu_ps(to, sum);
      } else {
        _mm512_mask_storeu_ps(to, cols, sum);
      }
    }
  }
}

void tile(const TileJob& job) {
  if (job.cols > 2 * kLanes) {
    sum_tile<3>(job);
  } else if (job.cols > kLanes) {
    sum_tile<2>(job);
  } else {
    sum_tile<1>(job);
  }
}

void round(std::uint16_t* y, const float* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 lanes = first_lanes(n - i);
    const __m256bh halves = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x + i));
    _mm256_mask_storeu_epi16(y + i, lanes, reinterpret_cast<__m256i>(halves));
  }
}
void widen(float* y, const std::uint16_t* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const __mmask16 lanes = first_lanes(n - i);
    _mm512_mask_storeu_ps(y + i, lanes, widened(_mm256_maskz_loadu_epi16(lanes, x + i)));
  }
}

constexpr Kernels kKernels{pack, tile, round, widen};

}  // namespace

const Kernels& kernels() { return kKernels; }

}  // namespace mixspan::bf16_product::avx512

#endif
