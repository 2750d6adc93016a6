// What the two kernels of attention backward on the tensor cores share.
#pragma once

#include <limits>

#include "kernels/cuda/attention_mma_walk.cuh"

namespace mixspan::cuda::mma {

struct BackwardArguments {
  HeadRows<bf16> dq, dk, dv;
  HeadRows<const bf16> do_, q, k, v, o;
  RowNumbers<const float> lse;
  RowNumbers<float> delta;
  AttentionSizes sizes;
  float scale_log2;  ///< scale * log2(e)
  BlockOrder order;
};

/// The rows that stay (queries and their do, or keys and values), 16 kRowTiles of each warp, and
/// the others, which come kOthers at a time and are multiplied kStep at a time.
template <int kHeadSize, int kWarpsOfBlock, int kRowTilesOfWarp, int kKeptInRegisters>
struct BackwardTiles {
  static constexpr int H = kHeadSize, kWarps = kWarpsOfBlock, kRowTiles = kRowTilesOfWarp;
  static constexpr int kOthers = 64, kStep = 32;
  static constexpr int kThreads = 32 * kWarps, kRows = 16 * kRowTiles * kWarps;
  static constexpr int kRowBytes = kRows * Tile<H>::kRowBytes;
  static constexpr int kOtherBytes = kOthers * Tile<H>::kRowBytes;
  static constexpr int kStageBytes = 2 * kOtherBytes;
  static constexpr int kStagesAt = 2 * kRowBytes;
  static constexpr int kNumbersAt = kStagesAt + 2 * kStageBytes;
  using Rows =
      std::conditional_t<kKeptInRegisters != 0, KeptRows<H, kRowTiles>, SharedRows<H, kRowTiles>>;
};

template <class S>
using Products = float[S::kRowTiles][S::kStep / 8][4];
template <class S>
using Sums = float[S::kRowTiles][S::H / 8][4];

__device__ inline float finite_or_zero(float lse) {
  return lse == -std::numeric_limits<float>::infinity() ? 0.0f : lse;  // such rows are masked
}

/// dq and delta: kernel and launch in attention_mma_dq.cu. Sets the order of the blocks.
void launch_dq(const Exec& ex, BackwardArguments a);

}  // namespace mixspan::cuda::mma
