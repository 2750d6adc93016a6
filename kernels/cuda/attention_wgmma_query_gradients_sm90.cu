// Attention backward with wgmma, first half: dq, and the statistics of the query rows that the
// second half reads. A block takes 128 query rows of one head at a time and walks their tiles of
// keys; no result has more than one writer. dS = P (dP - D), dq = scale dS k (Dao et al. 2022,
// arXiv:2205.14135, appendix B).
#include "kernels/cuda/attention_wgmma_backward.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

constexpr int kTileKeys = 64, kStages = 3;

template <int H>
struct QueryShared {
  using RowTile = BoxTile<H, kRows>;
  using KeyTile = BoxTile<H, kTileKeys>;
  unsigned char queries[RowTile::kBytes], gradients[RowTile::kBytes], outputs[RowTile::kBytes];
  unsigned char results[RowTile::kBytes];
  unsigned char keys[kStages][KeyTile::kBytes], values[kStages][KeyTile::kBytes];
  Ring<1> row_ring;
  Ring<kStages> key_ring, value_ring;
};

struct QueryMaps {
  TensorMap q, do_, o, k, v, dq;
};
struct QueryArguments {
  AttentionSizes sizes;
  RowNumbers<const float> lse;
  StatisticsRows statistics;
  Schedule schedule;
};

template <int H>
__device__ void copy_query_tiles(QueryShared<H>& shared, const QueryMaps& maps,
                                 const QueryArguments& a) {
  using RowTile = BoxTile<H, kRows>;
  using KeyTile = BoxTile<H, kTileKeys>;
  Stage<1> row_stage;
  Stage<kStages> stage;
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const RowItem work = RowItem::of(a.sizes, a.schedule, item, kTileKeys);
    const int key_head = work.n / a.sizes.group;
    Barrier* const rows = shared.row_ring.begin_fill(row_stage, 3 * RowTile::kBytes);
    RowTile::copy_in(shared.queries, maps.q, rows, work.first, work.n, work.b);
    RowTile::copy_in(shared.gradients, maps.do_, rows, work.first, work.n, work.b);
    RowTile::copy_in(shared.outputs, maps.o, rows, work.first, work.n, work.b);
    row_stage.next();
    for (int step = 0; step < work.walk.count(); ++step) {
      const int key = work.walk.tile(step) * kTileKeys;
      Barrier* const keys = shared.key_ring.begin_fill(stage, KeyTile::kBytes);
      KeyTile::copy_in(shared.keys[stage.index], maps.k, keys, key, key_head, work.b);
      Barrier* const values = shared.value_ring.begin_fill(stage, KeyTile::kBytes);
      KeyTile::copy_in(shared.values[stage.index], maps.v, values, key, key_head, work.b);
      stage.next();
    }
  }
}

/// A computing warpgroup's sight of the block's shared memory, and where it stands in the rings.
template <int H>
struct QueryWorker {
  using RowTile = BoxTile<H, kRows>;
  using KeyTile = BoxTile<H, kTileKeys>;

  QueryShared<H>& shared;
  const QueryArguments& a;
  int own;  ///< 0 or 1
  float scale_log2;
  Stage<1> row_stage = {};
  Stage<kStages> stage = {};

  // Of the item at hand:
  TileWalk walk{{0, 0}, {0, 0}, 1};
  OwnTiles mine = {};
  Bounds rows[2] = {};
  RowStatistics statistics[2] = {};
  std::uint32_t queries[H / 16][4] = {}, gradients[H / 16][4] = {};

  __device__ bool needs(int tile) const { return mine.holds(tile); }

  __device__ void begin(const RowItem& work) {
    const int first = work.first + own * kOwnRows, thread = threadIdx.x % kWarpgroup;
    const SequenceSpan span = a.sizes.sequence(work.b);
    walk = work.walk;
    mine = OwnTiles::of(RowItem::walk_of(a.sizes, work.b, first, kOwnRows, kTileKeys));
    const int own_row = thread / 32 * 16 + thread % 32 / 4, row = first + own_row;
    rows[0] = mma::bounds_of(a.sizes, span, row);
    rows[1] = mma::bounds_of(a.sizes, span, row + 8);
    shared.row_ring.wait_full(row_stage);
    load_rows(own * kOwnRows + thread / 32 * 16, thread % 32);
    shared.row_ring.release(row_stage);
    row_stage.next();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row + 8 * half;
      statistics[half].delta = row_sum(statistics[half].delta);
      const float lse = r < a.sizes.Tq ? a.lse.at(work.b, work.n)[r] : kNever;
      statistics[half].lse2 = lse == kNever ? -kNever : lse * kLog2e;
      if (thread % 4 == 0) a.statistics.at(a.sizes, work.b, work.n)[r] = statistics[half];
    }
  }
  /// q and do of a warp's 16 rows; and its lanes' shares of do * o.
  __device__ void load_rows(int first, int lane) {
    statistics[0].delta = statistics[1].delta = 0;
#pragma unroll
    for (int k = 0; k < H / 16; ++k) {
      std::uint32_t outputs[4];
      ldmatrix(queries[k], RowTile::lane_row(shared_address(shared.queries), first, k, lane));
      ldmatrix(gradients[k], RowTile::lane_row(shared_address(shared.gradients), first, k, lane));
      ldmatrix(outputs, RowTile::lane_row(shared_address(shared.outputs), first, k, lane));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& sum = statistics[i % 2].delta;
        sum = add_products(sum, gradients[k][i], outputs[i]);
      }
    }
  }

  __device__ void start_scores(float (&scores)[kTileKeys / 2], float (&dp)[kTileKeys / 2]) {
    products<H, kTileKeys>(scores, queries,
                           KeyTile::along_rows(shared_address(shared.keys[stage.index])));
    shared.value_ring.wait_full(stage);
    products<H, kTileKeys>(dp, gradients,
                           KeyTile::along_rows(shared_address(shared.values[stage.index])));
    commit_products();
  }
  __device__ void start_gradients(float (&dq)[H / 2], const std::uint32_t (&ds)[kTileKeys / 16][4],
                                  Stage<kStages> from) {
    add_weighted<H>(dq, ds, KeyTile::across_rows(shared_address(shared.keys[from.index])));
    commit_products();
  }
  /// scores become dS.
  __device__ void differentiate(float (&scores)[kTileKeys / 2], float (&dp)[kTileKeys / 2],
                                int tile) const {
    if (mine.masks(tile)) {
      mask_fragment(scores, rows, tile * kTileKeys, kNever);
      mask_fragment(dp, rows, tile * kTileKeys, 0.0f);  // may be infinite, where nobody looks
    }
#pragma unroll
    for (int i = 0; i < kTileKeys / 2; ++i) {
      const RowStatistics& row = statistics[i / 2 % 2];
      scores[i] = exp2_approx(fmaf(scores[i], scale_log2, -row.lse2)) * (dp[i] - row.delta);
    }
  }

  /// As ForwardWorker::run.
  __device__ int run(int step, float (&dq)[H / 2]) {
    float scores[kTileKeys / 2], dp[kTileKeys / 2];
    std::uint32_t ds[kTileKeys / 16][4];
    shared.key_ring.wait_full(stage);
    start_products();
    start_scores(scores, dp);
    wait_products<0>();
    pin(scores);
    pin(dp);
    shared.value_ring.release(stage);
    differentiate(scores, dp, walk.tile(step));
    to_operand(ds, scores);
    Stage<kStages> before = stage;
    for (stage.next(), ++step; step < walk.count() && needs(walk.tile(step));
         stage.next(), ++step) {
      shared.key_ring.wait_full(stage);
      pin(dq);
      pin(ds);
      start_products();
      start_scores(scores, dp);
      start_gradients(dq, ds, before);
      wait_products<1>();
      pin(scores);
      pin(dp);
      shared.value_ring.release(stage);
      differentiate(scores, dp, walk.tile(step));
      wait_products<0>();
      pin(dq);
      pin(ds);
      shared.key_ring.release(before);
      to_operand(ds, scores);
      before = stage;
    }
    pin(dq);
    pin(ds);
    start_products();
    start_gradients(dq, ds, before);
    wait_products<0>();
    pin(dq);
    shared.key_ring.release(before);
    return step;
  }
  /// As ForwardWorker::pass_over.
  __device__ int pass_over(int step) {
    for (; step < walk.count() && !needs(walk.tile(step)); stage.next(), ++step) {
      shared.key_ring.wait_full(stage);
      shared.key_ring.release(stage);
      shared.value_ring.wait_full(stage);
      shared.value_ring.release(stage);
    }
    return step;
  }
};

template <int H>
__device__ void compute_query_gradients(QueryShared<H>& shared, const TensorMap& dq_map,
                                        const QueryArguments& a, int own) {
  QueryWorker<H> worker{shared, a, own, a.sizes.scale * kLog2e};
  const bool leader = threadIdx.x % kWarpgroup == 0;
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const RowItem work = RowItem::of(a.sizes, a.schedule, item, kTileKeys);
    float dq[H / 2];
    clear(dq);
    worker.begin(work);
    for (int step = worker.pass_over(0); step < work.walk.count(); step = worker.pass_over(step)) {
      step = worker.run(step, dq);
    }
    if (leader) wait_copies_out_read();
    named_barrier_sync(kOwnBarrier + own, kWarpgroup);
    const float factors[2] = {a.sizes.scale, a.sizes.scale};
    copy_rows_out<H, kRows>(shared.results, own * kOwnRows, own, dq_map,
                            work.first + own * kOwnRows, work.n, work.b, dq, factors);
  }
  if (leader) wait_copies_out_read();
}

template <int H>
__global__ __launch_bounds__(kThreads, 1) void query_gradients_kernel(
    const __grid_constant__ QueryMaps maps, const __grid_constant__ QueryArguments a) {
  auto& shared = *dynamic_shared<QueryShared<H>>();
  if (threadIdx.x == 0) {
    constexpr int warps = 2 * kWarpgroup / 32;
    shared.row_ring.init(warps);
    shared.key_ring.init(warps);
    shared.value_ring.init(warps);
    publish_barriers();
  }
  __syncthreads();
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    give_back_registers<kCopyRegisters>();
    if (threadIdx.x < 32 && elected_lane()) copy_query_tiles(shared, maps, a);
  } else {
    take_registers<kComputeRegisters>();
    compute_query_gradients(shared, maps.dq, a, warpgroup - 1);
  }
}

}  // namespace

namespace wgmma_attention {

void wgmma_query_gradients(const Exec& ex, View dq, StatisticsRows statistics, ConstView do_,
                           ConstView q, ConstView k, ConstView v, ConstView o, ConstView lse,
                           const AttentionSizes& s) {
  const Schedule schedule = schedule_of(s, s.Tq, s.N, true);
  const QueryMaps maps{head_rows_map(q, kRows),     head_rows_map(do_, kRows),
                       head_rows_map(o, kRows),     head_rows_map(k, kTileKeys),
                       head_rows_map(v, kTileKeys), head_rows_map(dq, kOwnRows)};
  const QueryArguments a{s, row_numbers(lse), statistics, schedule};
  const auto start = [&]<int H>(std::integral_constant<int, H>) {
    launch(ex, query_gradients_kernel<H>, blocks_of(ex, schedule.items), dim3(kThreads),
           sizeof(QueryShared<H>), maps, a);
  };
  with_head_size(s.H, start);
}

}  // namespace wgmma_attention

}  // namespace mixspan::cuda
