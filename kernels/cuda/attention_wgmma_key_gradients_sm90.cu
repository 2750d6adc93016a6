// Attention backward with wgmma, second half: dk and dv. A block takes 128 keys of one key head at
// a time and walks the tiles of queries that read them, of all heads of the group, in a fixed
// order. It computes scores and their gradients transposed, so that both are operands in registers
// of the next products. dv = P^T do, dk = scale dS^T q (Dao et al. 2022, arXiv:2205.14135, appendix
// B).
#include "kernels/cuda/attention_wgmma_keys.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

constexpr int kTileRows = 64, kStages = 3;

template <int H>
using KeyShared = KeyItemShared<H, kTileRows, kStages>;

struct KeyArguments {
  AttentionSizes sizes;
  StatisticsRows statistics;
  Schedule schedule;
};

template <int H>
__device__ void copy_key_tiles(KeyShared<H>& shared, const KeyMaps& maps, const KeyArguments& a) {
  Stage<1> key_stage;
  Stage<kStages> stage;
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const KeyItem work = KeyItem::of(a.sizes, a.schedule.order, item, kTileRows);
    constexpr int bytes = 2 * KeyShared<H>::OwnTile::kBytes;
    Barrier* const own = shared.key_ring.begin_fill(key_stage, bytes);
    key_stage.next();
    shared.copy_in(maps, a.sizes, a.statistics, work, own, stage);
  }
}

/// A computing warpgroup's sight of the block's shared memory, and where it stands in the rings.
template <int H>
struct KeyWorker {
  using RowTile = BoxTile<H, kTileRows>;

  KeyShared<H>& shared;
  const KeyArguments& a;
  int own;  ///< 0 or 1
  float scale_log2;
  Stage<1> key_stage = {};
  Stage<kStages> stage = {};
  OwnKeys<kTileRows> mine = {};

  __device__ void begin(const KeyItem& work) {
    mine.begin(a.sizes, work, own);
    shared.key_ring.wait_full(key_stage);
  }

  __device__ void add_tile(float (&dk)[H / 2], float (&dv)[H / 2], int tile) {
    std::uint32_t weights[kTileRows / 16][4], ds[kTileRows / 16][4];
    weights_and_gradients(weights, ds, shared.rows, stage, shared_address(shared.keys),
                          shared_address(shared.values), own, mine, tile, scale_log2);
    pin(dv);
    pin(dk);
    pin(weights);
    pin(ds);
    start_products();
    add_weighted<H>(dv, weights,
                    RowTile::across_rows(shared_address(shared.rows.gradients[stage.index])));
    add_weighted<H>(dk, ds, RowTile::across_rows(shared_address(shared.rows.queries[stage.index])));
    commit_products();
    wait_products<0>();
    pin(dk);
    pin(dv);
    shared.rows.release(stage);
  }

  __device__ void finish(const KeyItem& work, const KeyMaps& maps, const float (&dk)[H / 2],
                         const float (&dv)[H / 2]) {
    named_barrier_sync(kOwnBarrier + own, kWarpgroup);  // all four warps' products have read them
    shared.copy_out(maps, work, own, a.sizes.scale, dk, dv);
    key_stage.next();
  }
};

template <int H>
__device__ void compute_key_gradients(KeyShared<H>& shared, const KeyMaps& maps,
                                      const KeyArguments& a, int own) {
  KeyWorker<H> worker{shared, a, own, a.sizes.scale * kLog2e};
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const KeyItem work = KeyItem::of(a.sizes, a.schedule.order, item, kTileRows);
    float dk[H / 2], dv[H / 2];
    clear(dk);
    clear(dv);
    worker.begin(work);
    for (int g = 0; g < a.sizes.group; ++g) {
      for (int tile = work.begin; tile < work.end; ++tile) {
        if (worker.mine.tiles.holds(tile)) {
          worker.add_tile(dk, dv, tile);
        } else {
          shared.rows.pass_over(worker.stage);
        }
        worker.stage.next();
      }
    }
    worker.finish(work, maps, dk, dv);
  }
}

template <int H>
__global__ __launch_bounds__(kThreads,
                             1) void key_gradients_kernel(const __grid_constant__ KeyMaps maps,
                                                          const __grid_constant__ KeyArguments a) {
  auto& shared = *dynamic_shared<KeyShared<H>>();
  if (threadIdx.x == 0) {
    shared.init(2);
    publish_barriers();
  }
  __syncthreads();
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    give_back_registers<kWideCopyRegisters>();
    if (threadIdx.x < 32 && elected_lane()) copy_key_tiles(shared, maps, a);
  } else {
    take_registers<kLessComputeRegisters>();
    compute_key_gradients(shared, maps, a, warpgroup - 1);
  }
}

}  // namespace

namespace wgmma_attention {

void wgmma_key_gradients(const Exec& ex, View dk, View dv, StatisticsRows statistics, ConstView do_,
                         ConstView q, ConstView k, ConstView v, const AttentionSizes& s) {
  const Schedule schedule = schedule_of(s, s.Tk, s.K, false);
  const KeyMaps maps = KeyMaps::of(q, do_, k, v, dk, dv, kTileRows);
  const KeyArguments a{s, statistics, schedule};
  const auto start = [&]<int H>(std::integral_constant<int, H>) {
    launch(ex, key_gradients_kernel<H>, blocks_of(ex, schedule.items), dim3(kThreads),
           sizeof(KeyShared<H>), maps, a);
  };
  with_head_size(s.H, start);
}

}  // namespace wgmma_attention

}  // namespace mixspan::cuda
