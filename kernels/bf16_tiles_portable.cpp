#include <bit>
#include <cmath>
#include <limits>

#include "core/dtype.h"
#include "kernels/bf16_tiles.h"

namespace mixspan::bf16_product {

namespace portable {
namespace {

float flushed(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

std::uint32_t rounded(float x) { return bf16(flushed(x)).bits; }

float half(std::uint32_t pair, bool high) {
  return flushed(std::bit_cast<float>(high ? pair & 0xffff0000u : pair << 16));
}

// fma, because a product of two bf16 fits in fp32 unless it is too small or too large.
float add_pair(float sum, std::uint32_t a, std::uint32_t b) {
  for (const bool high : {true, false}) sum = flushed(std::fma(half(a, high), half(b, high), sum));
  return sum;
}

// The bits of a source's number, and its value.
std::uint32_t bits_of(const PackJob& job, std::int64_t r, std::int64_t k, float* value) {
  *value = 0;
  if (r >= job.rows || k >= job.depth) return 0;
  const Source& s = job.from;
  const std::int64_t at = s.by_depth ? k * s.stride + r : r * s.stride + k;
  if (s.is_bf16) {
    const std::uint32_t bits = static_cast<const std::uint16_t*>(s.data)[at];
    *value = std::bit_cast<float>(bits << 16);
    return bits;
  }
  *value = static_cast<const float*>(s.data)[at];
  return rounded(*value);
}

void pack(const PackJob& job) {
  for (std::int64_t k = 0; k < job.depth; k += 2) {
    for (std::int64_t r = 0; r < kPackRows; ++r) {
      std::uint32_t* to = r < kTileRows ? job.low + r : job.high + r - kTileRows;
      float first = 0, second = 0;
      to[k / 2 * job.step] = bits_of(job, r, k, &first) | bits_of(job, r, k + 1, &second) << 16;
      if (job.sums != nullptr && r < job.rows) job.sums[r] = job.sums[r] + first + second;
    }
  }
}

void tile(const TileJob& job) {
  const std::int64_t b_step = (job.cols + kLanes - 1) / kLanes * kLanes;
  for (std::int64_t r = 0; r < job.rows; ++r) {
    for (std::int64_t j = 0; j < job.cols; ++j) {
      float sum = 0;
      for (std::int64_t p = 0; p < job.pairs; ++p) {
        sum = add_pair(sum, job.a[p * kTileRows + r], job.b[p * b_step + j]);
      }
      if (job.start != nullptr) sum += job.start[r * job.start_stride + j];
      if (job.bias != nullptr) sum += job.bias[j];
      job.c[r * job.c_stride + j] = sum;
    }
  }
}

void round(std::uint16_t* y, const float* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<std::uint16_t>(rounded(x[i]));
}
void widen(float* y, const std::uint16_t* x, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    y[i] = std::bit_cast<float>(static_cast<std::uint32_t>(x[i]) << 16);
  }
}

constexpr Kernels kKernels{pack, tile, round, widen};

}  // namespace

const Kernels& kernels() { return kKernels; }

}  // namespace portable

const Kernels& kernels(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx512 && has_avx512_bf16()) return avx512::kernels();
#endif
  static_cast<void>(isa);
  return portable::kernels();
}

}  // namespace mixspan::bf16_product
