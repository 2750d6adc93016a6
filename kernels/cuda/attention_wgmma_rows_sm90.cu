// What goes before and after the fused backward kernel, row by row: the statistics of the query
// rows, and dq from its sums.
#include "kernels/cuda/attention_wgmma_backward.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

constexpr int kRowThreads = 256;

/// A warp takes one row; the rows past the last get the statistics of none.
template <int H>
__global__ __launch_bounds__(kRowThreads) void statistics_kernel(StatisticsRows statistics,
                                                                 HeadRows<const bf16> do_,
                                                                 HeadRows<const bf16> o,
                                                                 RowNumbers<const float> lse,
                                                                 AttentionSizes s) {
  const int lane = threadIdx.x % 32, n = blockIdx.y, b = blockIdx.z;
  const int r = static_cast<int>(blockIdx.x) * (kRowThreads / 32) + threadIdx.x / 32;
  RowStatistics row{-kNever, 0};
  if (r < s.Tq) {
#pragma unroll
    for (int i = 0; i < H / 64; ++i) {
      const int pair = i * 32 + lane;
      row.delta =
          add_products(row.delta, reinterpret_cast<const std::uint32_t*>(do_.at(b, r, n))[pair],
                       reinterpret_cast<const std::uint32_t*>(o.at(b, r, n))[pair]);
    }
#pragma unroll
    for (int other = 16; other > 0; other /= 2) {
      row.delta += __shfl_xor_sync(0xffffffffu, row.delta, other);
    }
    const float sum = lse.at(b, n)[r];
    if (sum != kNever) row.lse2 = sum * kLog2e;
  }
  if (lane == 0) statistics.at(s, b, n)[r] = row;
}

/// A block takes one tile. A thread takes what four threads of the fused kernel hold of one quad:
/// 8 channels of two rows.
template <int H>
__global__ __launch_bounds__(kRowThreads) void convert_kernel(HeadRows<bf16> dq, QuerySums sums,
                                                              AttentionSizes s) {
  constexpr int kTileRows = QuerySums::tile_rows(H);
  const int tile = blockIdx.x, n = blockIdx.y, b = blockIdx.z;
  const bool none = sharers_of(s, b, tile, kTileRows).empty();  // then nobody wrote the sum
  const auto* const from = reinterpret_cast<const float4*>(sums.at(sums.index(s, b, n, tile)));
  for (int i = threadIdx.x; i < QuerySums::kNumbers / 16; i += kRowThreads) {
    const int quad = i % QuerySums::kQuads, four = i / QuerySums::kQuads;
    const int own = four / 32, thread = four % 32 * 4;
    const int row = QuerySums::first_row(H, own) + thread / 32 * 16 + thread % 32 / 4;
    const int channel = QuerySums::first_box(H, own) * kBoxColumns + 8 * quad;
    std::uint32_t above[4] = {}, below[4] = {};
    if (!none) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float4 x = from[QuerySums::place(quad, own, thread + j)];
        above[j] = bf16x2_bits(x.x * s.scale, x.y * s.scale);
        below[j] = bf16x2_bits(x.z * s.scale, x.w * s.scale);
      }
    }
    const int r = tile * kTileRows + row;
    const auto write = [&](int at, const std::uint32_t(&x)[4]) {
      if (at < s.Tq) {
        *reinterpret_cast<uint4*>(dq.at(b, at, n) + channel) = make_uint4(x[0], x[1], x[2], x[3]);
      }
    };
    write(r, above);
    write(r + 8, below);
  }
}

dim3 rows_grid(const AttentionSizes& s, std::int64_t blocks) {
  return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(s.N),
              static_cast<unsigned>(s.B));
}

}  // namespace

namespace wgmma_attention {

void row_statistics(const Exec& ex, StatisticsRows statistics, ConstView do_, ConstView o,
                    ConstView lse, const AttentionSizes& s) {
  const auto start = [&]<int H>(std::integral_constant<int, H>) {
    launch(ex, statistics_kernel<H>, rows_grid(s, statistics.padded / (kRowThreads / 32)),
           dim3(kRowThreads), 0, statistics, head_rows<bf16>(do_), head_rows<bf16>(o),
           row_numbers(lse), s);
  };
  with_head_size(s.H, start);
}

void query_gradients_of_sums(const Exec& ex, View dq, QuerySums sums, const AttentionSizes& s) {
  const auto start = [&]<int H>(std::integral_constant<int, H>) {
    launch(ex, convert_kernel<H>, rows_grid(s, sums.tiles), dim3(kRowThreads), 0,
           head_rows<bf16>(dq), sums, s);
  };
  with_head_size(s.H, start);
}

}  // namespace wgmma_attention

}  // namespace mixspan::cuda
