// Attention backward with wgmma, second half: dk and dv. A block takes 128 keys of one key head at
// a time and walks the tiles of queries that read them, of all heads of the group, in a fixed
// order. It computes scores and their gradients transposed, so that both are operands in registers
// of the next products. dv = P^T do, dk = scale dS^T q (Dao et al. 2022, arXiv:2205.14135, appendix
// B).
#include "kernels/cuda/attention_wgmma_backward.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

constexpr int kTileRows = 64, kStages = 3;

template <int H>
struct KeyShared {
  using OwnTile = BoxTile<H, kRows>;
  using RowTile = BoxTile<H, kTileRows>;
  unsigned char keys[OwnTile::kBytes], values[OwnTile::kBytes];  // at the end dk and dv
  unsigned char queries[kStages][RowTile::kBytes], gradients[kStages][RowTile::kBytes];
  alignas(16) RowStatistics statistics[kStages][kTileRows];
  Ring<1> key_ring;
  Ring<kStages> query_ring, gradient_ring;
};

struct KeyMaps {
  TensorMap q, do_, k, v, dk, dv;
};
struct KeyArguments {
  AttentionSizes sizes;
  StatisticsRows statistics;
  Schedule schedule;
};

/// 128 keys of a key head, and the tiles [begin, end) of query rows that read them.
struct KeyItem {
  int b, head, first, begin, end;

  __device__ static KeyItem of(const KeyArguments& a, int item) {
    const BlockOrder::Place place = a.schedule.order.place(item);
    const AttentionSizes& s = a.sizes;
    const int b = place.head / s.K, first = place.tile * kRows;
    const Range keys = {s.first_key + first, s.first_key + min(first + kRows, s.Tk)};
    const Range tiles =
        tiles_of(s.query_rows(visible_queries(s.sequence(b), keys, s.held_queries())), kTileRows);
    return {b, place.head % s.K, first, static_cast<int>(tiles.begin), static_cast<int>(tiles.end)};
  }
};

/// Query rows that read a key row; none where the key is past the last.
__device__ inline Bounds readers_of(const AttentionSizes& s, const SequenceSpan& span, int key) {
  if (key >= s.Tk) return {s.Tq, 0};
  const std::int64_t position = s.first_key + key;
  const Range rows =
      s.query_rows(visible_queries(span, {position, position + 1}, s.held_queries()));
  return {static_cast<int>(rows.begin), static_cast<int>(rows.end)};
}

template <int H>
__device__ void copy_key_tiles(KeyShared<H>& shared, const KeyMaps& maps, const KeyArguments& a) {
  using OwnTile = BoxTile<H, kRows>;
  using RowTile = BoxTile<H, kTileRows>;
  constexpr int statistics_bytes = kTileRows * sizeof(RowStatistics);
  Stage<1> key_stage;
  Stage<kStages> stage;
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const KeyItem work = KeyItem::of(a, item);
    Barrier* const own = shared.key_ring.begin_fill(key_stage, 2 * OwnTile::kBytes);
    OwnTile::copy_in(shared.keys, maps.k, own, work.first, work.head, work.b);
    OwnTile::copy_in(shared.values, maps.v, own, work.first, work.head, work.b);
    key_stage.next();
    for (int g = 0; g < a.sizes.group; ++g) {
      const int n = work.head * a.sizes.group + g;
      for (int tile = work.begin; tile < work.end; ++tile) {
        const int row = tile * kTileRows;
        Barrier* const queries =
            shared.query_ring.begin_fill(stage, RowTile::kBytes + statistics_bytes);
        RowTile::copy_in(shared.queries[stage.index], maps.q, queries, row, n, work.b);
        copy_bytes_in(shared.statistics[stage.index], a.statistics.at(a.sizes, work.b, n) + row,
                      statistics_bytes, queries);
        Barrier* const gradients = shared.gradient_ring.begin_fill(stage, RowTile::kBytes);
        RowTile::copy_in(shared.gradients[stage.index], maps.do_, gradients, row, n, work.b);
        stage.next();
      }
    }
  }
}

/// A computing warpgroup's sight of the block's shared memory, and where it stands in the rings.
template <int H>
struct KeyWorker {
  using OwnTile = BoxTile<H, kRows>;
  using RowTile = BoxTile<H, kTileRows>;

  KeyShared<H>& shared;
  const KeyArguments& a;
  int own;  ///< 0 or 1
  float scale_log2;
  Stage<1> key_stage = {};
  Stage<kStages> stage = {};
  OwnTiles mine = {};  ///< tiles of queries that read the own keys
  Bounds readers[2] = {};

  __device__ void begin(const KeyItem& work) {
    const int first = work.first + own * kOwnRows, thread = threadIdx.x % kWarpgroup;
    const SequenceSpan span = a.sizes.sequence(work.b);
    mine = {};
    if (first < a.sizes.Tk) {
      const int last = min(first + kOwnRows, a.sizes.Tk);
      mine = OwnTiles::of(mma::query_walk(a.sizes, span, first, last, kTileRows));
    }
    const int key = first + thread / 32 * 16 + thread % 32 / 4;
    readers[0] = readers_of(a.sizes, span, key);
    readers[1] = readers_of(a.sizes, span, key + 8);
    shared.key_ring.wait_full(key_stage);
  }

  /// Scores (keys x queries) become weights.
  __device__ void weigh(float (&scores)[kTileRows / 2], int tile) const {
    if (mine.masks(tile)) mask_fragment(scores, readers, tile * kTileRows, kNever);
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4) {
      const float4 two = pair_of_rows(i);
      scores[i] = exp2_approx(fmaf(scores[i], scale_log2, -two.x));
      scores[i + 1] = exp2_approx(fmaf(scores[i + 1], scale_log2, -two.z));
      scores[i + 2] = exp2_approx(fmaf(scores[i + 2], scale_log2, -two.x));
      scores[i + 3] = exp2_approx(fmaf(scores[i + 3], scale_log2, -two.z));
    }
  }
  /// dp becomes dS.
  __device__ void differentiate(float (&dp)[kTileRows / 2], const float (&weights)[kTileRows / 2],
                                int tile) const {
    // They may be infinite, where nobody looks.
    if (mine.masks(tile)) mask_fragment(dp, readers, tile * kTileRows, 0.0f);
#pragma unroll
    for (int i = 0; i < kTileRows / 2; i += 4) {
      const float4 two = pair_of_rows(i);
      dp[i] = weights[i] * (dp[i] - two.y);
      dp[i + 1] = weights[i + 1] * (dp[i + 1] - two.w);
      dp[i + 2] = weights[i + 2] * (dp[i + 2] - two.y);
      dp[i + 3] = weights[i + 3] * (dp[i + 3] - two.w);
    }
  }
  /// lse2 and delta of the two query rows that element i of a fragment and its neighbour are of.
  __device__ float4 pair_of_rows(int i) const {
    const int row = 2 * i + 2 * static_cast<int>(threadIdx.x % 4);
    return *reinterpret_cast<const float4*>(&shared.statistics[stage.index][row]);
  }

  __device__ void add_tile(float (&dk)[H / 2], float (&dv)[H / 2], int tile) {
    float scores[kTileRows / 2], dp[kTileRows / 2];
    std::uint32_t weights[kTileRows / 16][4], ds[kTileRows / 16][4];
    const SharedAddress queries = shared_address(shared.queries[stage.index]);
    const SharedAddress gradients = shared_address(shared.gradients[stage.index]);
    shared.query_ring.wait_full(stage);
    start_products();
    products<H, kRows, kTileRows>(scores,
                                  OwnTile::along_rows(shared_address(shared.keys), own * kOwnRows),
                                  RowTile::along_rows(queries));
    commit_products();
    shared.gradient_ring.wait_full(stage);
    products<H, kRows, kTileRows>(
        dp, OwnTile::along_rows(shared_address(shared.values), own * kOwnRows),
        RowTile::along_rows(gradients));
    commit_products();
    wait_products<1>();
    pin(scores);
    weigh(scores, tile);
    wait_products<0>();
    pin(dp);
    differentiate(dp, scores, tile);
    to_operand(weights, scores);
    to_operand(ds, dp);
    pin(dv);
    pin(dk);
    pin(weights);
    pin(ds);
    start_products();
    add_weighted<H>(dv, weights, RowTile::across_rows(gradients));
    add_weighted<H>(dk, ds, RowTile::across_rows(queries));
    commit_products();
    wait_products<0>();
    pin(dk);
    pin(dv);
    shared.query_ring.release(stage);
    shared.gradient_ring.release(stage);
  }
  /// As ForwardWorker::pass_over.
  __device__ void pass_over_tile() {
    shared.query_ring.wait_full(stage);
    shared.query_ring.release(stage);
    shared.gradient_ring.wait_full(stage);
    shared.gradient_ring.release(stage);
  }

  /// The keys and values make room for their gradients: nobody but this warpgroup reads its 64.
  __device__ void finish(const KeyItem& work, const KeyMaps& maps, const float (&dk)[H / 2],
                         const float (&dv)[H / 2]) {
    const int first = work.first + own * kOwnRows;
    const float scales[2] = {a.sizes.scale, a.sizes.scale}, ones[2] = {1.0f, 1.0f};
    named_barrier_sync(kOwnBarrier + own, kWarpgroup);  // all four warps' products have read them
    copy_rows_out<H, kRows>(shared.keys, own * kOwnRows, own, maps.dk, first, work.head, work.b, dk,
                            scales);
    copy_rows_out<H, kRows>(shared.values, own * kOwnRows, own, maps.dv, first, work.head, work.b,
                            dv, ones);
    if (threadIdx.x % kWarpgroup == 0) {
      wait_copies_out_read();
      barrier_arrive(&shared.key_ring.empty[0]);
    }
    key_stage.next();
  }
};

template <int H>
__device__ void compute_key_gradients(KeyShared<H>& shared, const KeyMaps& maps,
                                      const KeyArguments& a, int own) {
  KeyWorker<H> worker{shared, a, own, a.sizes.scale * kLog2e};
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const KeyItem work = KeyItem::of(a, item);
    float dk[H / 2], dv[H / 2];
    clear(dk);
    clear(dv);
    worker.begin(work);
    for (int g = 0; g < a.sizes.group; ++g) {
      for (int tile = work.begin; tile < work.end; ++tile) {
        if (worker.mine.holds(tile)) {
          worker.add_tile(dk, dv, tile);
        } else {
          worker.pass_over_tile();
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
    constexpr int warps = 2 * kWarpgroup / 32;
    shared.key_ring.init(2);
    shared.query_ring.init(warps);
    shared.gradient_ring.init(warps);
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
  const KeyMaps maps{head_rows_map(q, kTileRows), head_rows_map(do_, kTileRows),
                     head_rows_map(k, kRows),     head_rows_map(v, kRows),
                     head_rows_map(dk, kOwnRows), head_rows_map(dv, kOwnRows)};
  const KeyArguments a{s, statistics, schedule};
  const auto start = [&]<int H>(std::integral_constant<int, H>) {
    launch(ex, key_gradients_kernel<H>, blocks_of(ex, schedule), dim3(kThreads),
           sizeof(KeyShared<H>), maps, a);
  };
  s.H == 64 ? start(std::integral_constant<int, 64>{}) : start(std::integral_constant<int, 128>{});
}

}  // namespace wgmma_attention

}  // namespace mixspan::cuda
