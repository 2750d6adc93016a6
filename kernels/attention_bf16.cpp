// Attention whose products are of bf16: the same loops over pairs (bf16_tiles.h). The softmax, the
// weights and their gradients are fp32 until a product takes them.
#include "kernels/attention_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/bf16_tiles.h"

namespace mixspan::attention::avx512_bf16 {

namespace {
constexpr int kLanes = 16;
constexpr int kMicroRows = 6;  // as in attention_avx512.cpp
constexpr int kMicroVectors = 4;
constexpr int kEdgeRows = 8;
constexpr int kEdgeVectors = 3;
#include "kernels/attention_vector.inc"

typedef std::uint32_t Element __attribute__((may_alias));
constexpr int kPerElement = 2;
typedef __m512i RightVector;
typedef __m256i RightHalf;
typedef __m512i Spread;

inline RightVector load_right(const Element* p) { return _mm512_loadu_si512(p); }
inline RightHalf load_right_half(const Element* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline Spread spread(Element x) {
  Spread all_lanes = _mm512_set1_epi32(static_cast<int>(x));
  __asm__("" : "+v"(all_lanes));  // in a register: else it would be read again for each vector
  return all_lanes;
}
inline Vector add_product(Vector sum, Spread left, RightVector right) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(left), reinterpret_cast<__m512bh>(right));
}
inline HalfVector add_product_half(HalfVector sum, Spread left, RightHalf right) {
  return _mm256_dpbf16_ps(sum, reinterpret_cast<__m256bh>(_mm512_castsi512_si256(left)),
                          reinterpret_cast<__m256bh>(right));
}

inline const Element* elements(const float* p) { return reinterpret_cast<const Element*>(p); }
inline Element* elements(float* p) { return reinterpret_cast<Element*>(p); }
inline Vector load_scores(const float* p, float scale) { return load(p) * scale; }

constexpr int kWeightStride = kTileKeys / 2;
inline Element* weights_of(const ForwardTile& t) { return elements(t.rounded); }
inline const Element* dscores_of(const BackwardTile& t) { return elements(t.rounded); }
inline void put_weights(Element* row, int v, Vector x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + v * (kLanes / 2)),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
}

// Words of `first` and `second` in turn.
inline __m512i pairs_of(Vector first, Vector second) {
  alignas(64) static constexpr std::uint16_t kInTurn[32] = {
      0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const auto words = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
  return _mm512_permutexvar_epi16(_mm512_load_si512(kInTurn), words);
}

// Weights and dscores become pairs of rows, where they are; `rounded` gets dscores' pairs of keys.
void round_backward(const BackwardTile& t) {
  constexpr int kVectors = kTileKeys / kLanes;
  const Vector zero = {};
  for (int row = 0; row < t.rows; row += 2) {
    const bool second = row + 1 < t.rows;
    const float *weights = t.weights + row * kTileStride, *dscores = t.dscores + row * kTileStride;
    Element* weight_pairs = elements(t.weights) + row / 2 * kTileStride;
    Element* dscore_pairs = elements(t.dscores) + row / 2 * kTileStride;
    Element* rounded = elements(t.rounded) + row * kWeightStride;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {  // a vector is read before its place is written
      const Vector weight = load(weights + v * kLanes), dscore = load(dscores + v * kLanes);
      const Vector next_weight = second ? load(weights + kTileStride + v * kLanes) : zero;
      const Vector next_dscore = second ? load(dscores + kTileStride + v * kLanes) : zero;
      _mm512_storeu_si512(weight_pairs + v * kLanes, pairs_of(weight, next_weight));
      _mm512_storeu_si512(dscore_pairs + v * kLanes, pairs_of(dscore, next_dscore));
      put_weights(rounded, v, dscore);
      if (second) put_weights(rounded + kWeightStride, v, next_dscore);
    }
  }
}

#include "kernels/attention_micro.inc"
//
#include "kernels/attention_body.inc"

void left_pairs(float* out, Rows rows, int count, int head) {
  for (int row = 0; row < count; ++row) {
    const float* from = rows.from(row).data;
    auto* to = reinterpret_cast<std::uint16_t*>(elements(out) + row * ceil_div(head, 2));
    for (int i = 0; i < head; i += kLanes) {
      const int left = head - i;
      const auto first = [](int n) {
        return static_cast<__mmask16>(n >= kLanes ? 0xffffu : (1u << n) - 1u);
      };
      const __mmask16 mask = first(left);
      _mm256_mask_storeu_epi16(
          to + i, first(left + left % 2),
          reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i))));
    }
  }
}

void right_pairs(float* out, Rows rows, int count, int head, int padded) {
  for (int column = 0; column < head; column += kLanes) {
    Element* to = elements(out) + column;
    bf16_product::avx512::kernels().pack({to,
                                          to + kLanes / 2,
                                          padded,
                                          {rows.data + column, rows.stride, true},
                                          smaller(kLanes, head - column),
                                          count,
                                          nullptr});
  }
}

void transpose_pairs(float* out, Rows rows, int keys, int head, float) {
  for (int key = 0; key < kTileStride; key += kLanes) {
    Element* to = elements(out) + key;
    bf16_product::avx512::kernels().pack({to,
                                          to + kLanes / 2,
                                          kTileStride,
                                          {rows.data + key * rows.stride, rows.stride, false},
                                          smaller(kLanes, keys - key),
                                          head,
                                          nullptr});
  }
}

constexpr TileKernels bf16_kernels() {
  TileKernels kernels = kKernels;
  kernels.padding = kLanes;
  kernels.transpose = transpose_pairs;
  kernels.left = left_pairs;
  kernels.right = right_pairs;
  return kernels;
}

constexpr TileKernels kBf16Kernels = bf16_kernels();
}  // namespace

const TileKernels& tile_kernels() { return kBf16Kernels; }

}  // namespace mixspan::attention::avx512_bf16

#endif
