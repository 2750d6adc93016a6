// Attention backward with wgmma in one kernel: 10 products of tiles where the two kernels beside it
// need 14. A block owns 128 keys, as in attention_wgmma_key_gradients_sm90.cu; of each tile of
// queries it computes its share of dq too, which the copy engine adds to a sum in memory. Each sum
// gets its shares in one order, so the bits are the same each time: from the last keys to the
// first, because under a causal span blocks of later keys come to a tile of queries earlier.
//
// Nobody waits for ever: blocks take items by tickets, and an item's shares follow those of items
// with earlier tickets alone, whose blocks run already.
#include "kernels/cuda/attention_wgmma_keys.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx_sm90_sums.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

constexpr int kStages = 2;  // of rows, of dS and of shares

template <int H>
struct FusedShared {
  static constexpr int kTileRows = QuerySums::tile_rows(H);
  using Item = KeyItemShared<H, kTileRows, kStages>;
  using GradientTile = BoxTile<kRows, kTileRows>;  // dS: query rows x keys

  unsigned char ds[kStages][GradientTile::kBytes];
  float4 shares[kStages][QuerySums::kNumbers / 4];
  Item item;
  Ring<kStages> share_ring;
  KeyItem work;  ///< b < 0: there is no more
};

struct FusedArguments {
  AttentionSizes sizes;
  StatisticsRows statistics;
  QuerySums sums;
  std::int32_t* ticket;
  BlockOrder order;
  int items;
};

/// Takes items, tells the others, and brings what they need. The item past the last ends all.
template <int H>
__device__ void copy_tiles(FusedShared<H>& shared, const KeyMaps& maps, const FusedArguments& a) {
  Stage<1> key_stage;
  Stage<kStages> stage;
  for (;;) {
    const int item = atomicAdd(a.ticket, 1);
    const bool last = item >= a.items;
    const KeyItem work = last ? KeyItem{-1, 0, 0, 0, 0}
                              : KeyItem::of(a.sizes, a.order, item, QuerySums::tile_rows(H));
    shared.item.key_ring.wait_empty(key_stage);
    shared.work = work;
    constexpr int bytes = 2 * FusedShared<H>::Item::OwnTile::kBytes;
    Barrier* const own = shared.item.key_ring.begin_fill(key_stage, last ? 0 : bytes);
    if (last) return;
    key_stage.next();
    shared.item.copy_in(maps, a.sizes, a.statistics, work, own, stage);
  }
}

/// Adds the block's shares of dq to the sums, each when its turn has come.
template <int H>
__device__ void add_shares(FusedShared<H>& shared, const FusedArguments& a) {
  constexpr int bytes = sizeof(shared.shares[0]);
  Stage<1> key_stage;
  Stage<kStages> share_stage;
  for (;;) {
    shared.item.key_ring.wait_full(key_stage);
    const KeyItem work = shared.work;
    barrier_arrive(&shared.item.key_ring.empty[0]);
    key_stage.next();
    if (work.b < 0) return;
    for (int g = 0; g < a.sizes.group; ++g) {
#pragma unroll 1
      for (int tile = work.begin; tile < work.end; ++tile, share_stage.next()) {
        const std::int64_t sum = a.sums.index(a.sizes, work.b, work.head * a.sizes.group + g, tile);
        const Range sharers = sharers_of(a.sizes, work.b, tile, QuerySums::tile_rows(H));
        const int before = static_cast<int>(sharers.end) - 1 - work.first / kRows;
        const float4* const share = shared.shares[share_stage.index];
        shared.share_ring.wait_full(share_stage);
        if (before == 0) {
          copy_bytes_out(a.sums.at(sum), share, bytes);
        } else {
          wait_for_flag(&a.sums.shares[sum], before);
          add_floats_out(a.sums.at(sum), share, bytes);
        }
        commit_copies_out();
        wait_copies_out_read();
        barrier_arrive(&shared.share_ring.empty[share_stage.index]);
        wait_copies_out();
        set_flag(&a.sums.shares[sum], before + 1);
      }
    }
  }
}

/// A computing warpgroup's sight of the block's shared memory, and where it stands in the rings.
template <int H>
struct FusedWorker {
  static constexpr int kTileRows = QuerySums::tile_rows(H);
  using Shared = FusedShared<H>;
  using OwnTile = typename Shared::Item::OwnTile;
  using GradientTile = typename Shared::GradientTile;
  using RowTile = BoxTile<H, kTileRows>;

  Shared& shared;
  const FusedArguments& a;
  int own;  ///< 0 or 1
  float scale_log2;
  Stage<1> key_stage = {};
  Stage<kStages> stage = {};  ///< of the rings of rows and of shares, and of dS: a tile each
  OwnKeys<kTileRows> mine = {};

  /// dS^T of the own keys, turned, to the columns of those keys.
  __device__ void store_gradients(const std::uint32_t (&ds)[kTileRows / 16][4]) const {
    const int lane = threadIdx.x % 32, warp = threadIdx.x % kWarpgroup / 32;
    // The first lanes name the rows of the matrices with keys 0 .. 7 of the warp, the next those
    // with 8 .. 15; then both again for the next eight query rows.
    const int row = lane / 16 * 8 + lane % 8, piece = 2 * warp + lane / 8 % 2;
    const SharedAddress at = anew(shared_address(shared.ds[stage.index])) +
                             own * GradientTile::kBoxBytes + row * 128 + ((piece ^ lane % 8) << 4);
#pragma unroll
    for (int k = 0; k < kTileRows / 16; ++k) store_matrices_turned(at + k * 16 * 128, ds[k]);
    show_to_copies();
  }

  /// dq = dS k over all keys, for the own 64 x 64.
  __device__ void start_share(float (&dq)[32]) const {
    const std::uint64_t ds = GradientTile::along_rows(anew(shared_address(shared.ds[stage.index])),
                                                      QuerySums::first_row(H, own));
    const std::uint64_t keys = OwnTile::across_rows(
        anew(shared_address(shared.item.keys)) + QuerySums::first_box(H, own) * OwnTile::kBoxBytes);
#pragma unroll
    for (int k = 0; k < kRows / 16; ++k) {
      wgmma<Major::mn>(dq, ds + GradientTile::columns_step(k), keys + OwnTile::rows_step(k), k > 0);
    }
  }

  __device__ void hand_over(const float (&dq)[32]) {
    shared.share_ring.wait_empty(stage);
#pragma unroll
    for (int i = 0; i < QuerySums::kQuads; ++i) {
      const int at = QuerySums::place(i, own, threadIdx.x % kWarpgroup);
      store_quad(&shared.shares[stage.index][at],
                 make_float4(dq[4 * i], dq[4 * i + 1], dq[4 * i + 2], dq[4 * i + 3]));
    }
    show_to_copies();
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(&shared.share_ring.full[stage.index]);
  }

  /// Whether or not the own keys need the tile: the other warpgroup's do, and products under a
  /// condition would not run beside anything. At long spans that is one tile of many.
  __device__ void add_tile(float (&dk)[H / 2], float (&dv)[H / 2], int tile) {
    std::uint32_t weights[kTileRows / 16][4], ds[kTileRows / 16][4];
    weights_and_gradients(weights, ds, shared.item.rows, stage,
                          anew(shared_address(shared.item.keys)),
                          anew(shared_address(shared.item.values)), own, mine, tile, scale_log2);
    pin(dv);
    pin(weights);
    start_products();
    add_weighted<H>(
        dv, weights,
        RowTile::across_rows(anew(shared_address(shared.item.rows.gradients[stage.index]))));
    commit_products();
    store_gradients(ds);
    // Both have written their dS. And both are through with the tile before, so that the next
    // tile's dS may take the place of that one's.
    named_barrier_sync(kPairBarrier, 2 * kWarpgroup);
    float dq[32];
    pin(dk);
    pin(ds);
    start_products();
    start_share(dq);
    commit_products();
    add_weighted<H>(
        dk, ds, RowTile::across_rows(anew(shared_address(shared.item.rows.queries[stage.index]))));
    commit_products();
    wait_products<1>();
    pin(dq);
    pin(dv);
    hand_over(dq);
    wait_products<0>();
    pin(dk);
    shared.item.rows.release(stage);
  }

  __device__ void finish(const KeyItem& work, const KeyMaps& maps, const float (&dk)[H / 2],
                         const float (&dv)[H / 2]) {
    named_barrier_sync(kPairBarrier, 2 * kWarpgroup);  // the other reads all keys for its dq
    shared.item.copy_out(maps, work, own, a.sizes.scale, dk, dv);
    key_stage.next();
  }
};

template <int H>
__device__ void compute_gradients(FusedShared<H>& shared, const KeyMaps& maps,
                                  const FusedArguments& a, int own) {
  FusedWorker<H> worker{shared, a, own, a.sizes.scale * kLog2e};
  for (;;) {
    shared.item.key_ring.wait_full(worker.key_stage);
    const KeyItem work = shared.work;
    if (work.b < 0) return;
    float dk[H / 2], dv[H / 2];
    clear(dk);
    clear(dv);
    worker.mine.begin(a.sizes, work, own);
    for (int g = 0; g < a.sizes.group; ++g) {
      for (int tile = work.begin; tile < work.end; ++tile, worker.stage.next()) {
        worker.add_tile(dk, dv, tile);
      }
    }
    worker.finish(work, maps, dk, dv);
  }
}

template <int H>
__global__ __launch_bounds__(kThreads, 1) void fused_gradients_kernel(
    const __grid_constant__ KeyMaps maps, const __grid_constant__ FusedArguments a) {
  auto& shared = *dynamic_shared<FusedShared<H>>();
  if (threadIdx.x == 0) {
    shared.item.init(3);  // both computing warpgroups and the thread that adds shares
    shared.share_ring.init(1, 2 * kWarpgroup / 32);
    publish_barriers();
  }
  __syncthreads();
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    give_back_registers<kWideCopyRegisters>();
    if (threadIdx.x < 32) {
      if (elected_lane()) copy_tiles(shared, maps, a);
    } else if (threadIdx.x < 64) {
      if (elected_lane()) add_shares(shared, a);
    }
  } else {
    take_registers<kLessComputeRegisters>();
    compute_gradients(shared, maps, a, warpgroup - 1);
  }
}

}  // namespace

namespace wgmma_attention {

void wgmma_fused_gradients(const Exec& ex, View dk, View dv, QuerySums sums, std::int32_t* ticket,
                           StatisticsRows statistics, ConstView do_, ConstView q, ConstView k,
                           ConstView v, const AttentionSizes& s) {
  const BlockOrder order = mma::block_order(s, kRows, s.Tk, s.K, true);
  const int rows = QuerySums::tile_rows(s.H);
  const KeyMaps maps = KeyMaps::of(q, do_, k, v, dk, dv, rows);
  const FusedArguments a{s, statistics, sums, ticket, order, static_cast<int>(order.blocks())};
  const auto start = [&]<int H>(std::integral_constant<int, H>) {
    launch(ex, fused_gradients_kernel<H>, blocks_of(ex, a.items), dim3(kThreads),
           sizeof(FusedShared<H>), maps, a);
  };
  with_head_size(s.H, start);
}

}  // namespace wgmma_attention

}  // namespace mixspan::cuda
