// Attention forward with wgmma. A block takes 128 query rows of one head at a time: one warp starts
// the copies of the tiles of keys and values that these rows need, two warpgroups of 64 rows each
// multiply. The scores of the next tile are started before the values of this one, so that the
// exponentials run beside products. Shah et al. 2024 (arXiv:2407.08608); sums as in
// kernels/attention.h.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_wgmma_ring.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

using namespace wgmma_attention;

namespace {

/// What differs between spans. kTileKeys keys make a tile. kTurns: the warpgroups do the same
/// tiles, one multiplies while the other takes exponentials (long spans); otherwise each does only
/// the tiles that its own 64 rows need, and keeps its queries in registers (short spans, of which
/// each row reads few tiles).
template <int kHead, int kTileKeys_, int kStages_, bool kTurns_>
struct ForwardShape {
  static constexpr int H = kHead, kTileKeys = kTileKeys_, kStages = kStages_;
  static constexpr bool kTurns = kTurns_, kKeepsQueries = !kTurns_;
  using RowTile = BoxTile<H, kRows>;
  using KeyTile = BoxTile<H, kTileKeys>;
};

template <class Shape>
struct ForwardShared {
  unsigned char queries[Shape::RowTile::kBytes];
  /// Results on their way out: apart from the queries only where the next ones come early.
  unsigned char results[Shape::kKeepsQueries ? Shape::RowTile::kBytes : 1024];
  unsigned char keys[Shape::kStages][Shape::KeyTile::kBytes];
  unsigned char values[Shape::kStages][Shape::KeyTile::kBytes];
  Ring<1> query_ring;
  Ring<Shape::kStages> key_ring, value_ring;
};

struct ForwardArguments {
  AttentionSizes sizes;
  RowNumbers<float> lse;
  Schedule schedule;
};

template <class Shape>
__device__ void copy_forward(ForwardShared<Shape>& shared, const TensorMap& q_map,
                             const TensorMap& k_map, const TensorMap& v_map,
                             const ForwardArguments& a) {
  using KeyTile = typename Shape::KeyTile;
  Stage<1> query_stage;
  Stage<Shape::kStages> stage;
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const RowItem work = RowItem::of(a.sizes, a.schedule, item, Shape::kTileKeys);
    const int key_head = work.n / a.sizes.group;
    Barrier* const rows = shared.query_ring.begin_fill(query_stage, Shape::RowTile::kBytes);
    Shape::RowTile::copy_in(shared.queries, q_map, rows, work.first, work.n, work.b);
    query_stage.next();
    for (int step = 0; step < work.walk.count(); ++step) {
      const int key = work.walk.tile(step) * Shape::kTileKeys;
      Barrier* const keys = shared.key_ring.begin_fill(stage, KeyTile::kBytes);
      KeyTile::copy_in(shared.keys[stage.index], k_map, keys, key, key_head, work.b);
      Barrier* const values = shared.value_ring.begin_fill(stage, KeyTile::kBytes);
      KeyTile::copy_in(shared.values[stage.index], v_map, values, key, key_head, work.b);
      stage.next();
    }
  }
}

/// The softmax of two rows so far: r and r + 8 of a warpgroup's fragment (ptx_sm90_wgmma.cuh).
struct SoftmaxRows {
  float largest[2] = {kNever, kNever};  ///< score, of all lanes of a row
  float sums[2] = {0, 0};               ///< of the lane's own columns

  /// Scores become exp2(c (score - largest)); `factors`: what all sums so far are worth now.
  template <int N>
  __device__ void take(float (&scores)[N], float (&factors)[2], float c) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = largest[half];
#pragma unroll
      for (int i = 0; i < N; i += 4) {
        most = fmaxf(most, fmaxf(scores[i + 2 * half], scores[i + 2 * half + 1]));
      }
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float base = most == kNever ? 0.0f : most * c;  // a row may have read no key yet
      factors[half] = exp2_approx(fmaf(largest[half], c, -base));
      largest[half] = most;
      float sum = 0;
#pragma unroll
      for (int i = 0; i < N; i += 4) {
        float* const pair = &scores[i + 2 * half];
        pair[0] = exp2_approx(fmaf(pair[0], c, -base));
        pair[1] = exp2_approx(fmaf(pair[1], c, -base));
        sum += pair[0] + pair[1];
      }
      sums[half] = fmaf(sums[half], factors[half], sum);
    }
  }
};

/// A computing warpgroup's sight of the block's shared memory, and where it stands in the rings.
template <class Shape>
struct ForwardWorker {
  static constexpr int H = Shape::H, kTileKeys = Shape::kTileKeys;
  using RowTile = typename Shape::RowTile;
  using KeyTile = typename Shape::KeyTile;

  ForwardShared<Shape>& shared;
  const ForwardArguments& a;
  int own;  ///< 0 or 1
  Stage<1> query_stage = {};
  Stage<Shape::kStages> stage = {};

  // Of the item at hand:
  TileWalk walk{{0, 0}, {0, 0}, 1};
  OwnTiles mine = {};
  Bounds rows[2] = {};
  std::uint32_t kept[H / 16][4] = {};  ///< queries, where kKeepsQueries
  float scale_log2 = 0;

  __device__ bool needs(int tile) const { return Shape::kTurns || mine.holds(tile); }
  __device__ void mask(float (&scores)[kTileKeys / 2], int tile) const {
    if (mine.masks(tile)) mask_fragment(scores, rows, tile * kTileKeys, kNever);
  }
  __device__ void start_scores(float (&scores)[kTileKeys / 2]) {
    const std::uint64_t keys = KeyTile::along_rows(shared_address(shared.keys[stage.index]));
    if constexpr (Shape::kKeepsQueries) {
      products<H, kTileKeys>(scores, kept, keys);
    } else {
      const std::uint64_t queries =
          RowTile::along_rows(shared_address(shared.queries), own * kOwnRows);
      products<H, kRows, kTileKeys>(scores, queries, keys);
    }
    commit_products();
  }
  __device__ void start_values(float (&o)[H / 2], const std::uint32_t (&weights)[kTileKeys / 16][4],
                               Stage<Shape::kStages> from) {
    add_weighted<H>(o, weights, KeyTile::across_rows(shared_address(shared.values[from.index])));
    commit_products();
  }
  __device__ void wait_turn() const {
    if constexpr (Shape::kTurns) named_barrier_sync(kTurnBarrier + own, 2 * kWarpgroup);
  }
  __device__ void give_turn() const {
    if constexpr (Shape::kTurns) named_barrier_arrive(kTurnBarrier + 1 - own, 2 * kWarpgroup);
  }

  __device__ void begin(const RowItem& work) {
    const int first = work.first + own * kOwnRows, thread = threadIdx.x % kWarpgroup;
    const SequenceSpan span = a.sizes.sequence(work.b);
    walk = work.walk;
    mine = OwnTiles::of(RowItem::walk_of(a.sizes, work.b, first, kOwnRows, kTileKeys));
    const int row = first + thread / 32 * 16 + thread % 32 / 4;
    rows[0] = mma::bounds_of(a.sizes, span, row);
    rows[1] = mma::bounds_of(a.sizes, span, row + 8);
    shared.query_ring.wait_full(query_stage);
    if constexpr (Shape::kKeepsQueries) {
      const SharedAddress queries = shared_address(shared.queries);
      const int own_row = own * kOwnRows + thread / 32 * 16;
#pragma unroll
      for (int k = 0; k < H / 16; ++k) {
        ldmatrix(kept[k], RowTile::lane_row(queries, own_row, k, thread % 32));
      }
      shared.query_ring.release(query_stage);
    }
  }

  /// From tile `step` of the walk on: a run of tiles that all are needed, each one's scores started
  /// before the values of the one before. Returns the step behind the run.
  __device__ int run(int step, float (&o)[H / 2], SoftmaxRows& softmax) {
    float scores[kTileKeys / 2], factors[2];
    std::uint32_t weights[kTileKeys / 16][4];
    shared.key_ring.wait_full(stage);
    wait_turn();
    start_products();
    start_scores(scores);
    give_turn();
    wait_products<0>();
    pin(scores);
    shared.key_ring.release(stage);
    mask(scores, walk.tile(step));
    softmax.take(scores, factors, scale_log2);
    rescale(o, factors);
    to_operand(weights, scores);
    Stage<Shape::kStages> before = stage;
    for (stage.next(), ++step; step < walk.count() && needs(walk.tile(step));
         stage.next(), ++step) {
      shared.key_ring.wait_full(stage);
      wait_turn();
      pin(o);
      pin(weights);
      start_products();
      start_scores(scores);
      shared.value_ring.wait_full(before);
      start_values(o, weights, before);
      give_turn();
      wait_products<1>();
      pin(scores);
      shared.key_ring.release(stage);
      mask(scores, walk.tile(step));
      softmax.take(scores, factors, scale_log2);
      wait_products<0>();
      pin(o);
      pin(weights);
      shared.value_ring.release(before);
      rescale(o, factors);
      to_operand(weights, scores);
      before = stage;
    }
    shared.value_ring.wait_full(before);
    pin(o);
    pin(weights);
    start_products();
    start_values(o, weights, before);
    wait_products<0>();
    pin(o);
    shared.value_ring.release(before);
    return step;
  }
  __device__ static void rescale(float (&o)[H / 2], const float (&factors)[2]) {
#pragma unroll
    for (int i = 0; i < H / 2; ++i) o[i] *= factors[i / 2 % 2];
  }

  /// Tiles of the block that this warpgroup's rows do not need. A stage is given back only when it
  /// is full: otherwise this warpgroup could be counted twice before the other is counted once.
  __device__ int pass_over(int step) {
    for (; step < walk.count() && !needs(walk.tile(step)); stage.next(), ++step) {
      shared.key_ring.wait_full(stage);
      shared.key_ring.release(stage);
      shared.value_ring.wait_full(stage);
      shared.value_ring.release(stage);
    }
    return step;
  }

  __device__ void finish(const RowItem& work, const TensorMap& o_map, const float (&o)[H / 2],
                         const SoftmaxRows& softmax) {
    constexpr float ln2 = 0.6931471805599453f;
    const int first = work.first + own * kOwnRows, thread = threadIdx.x % kWarpgroup;
    float factors[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = row_sum(softmax.sums[half]);
      const bool reads = sum > 0;
      factors[half] = reads ? 1.0f / sum : 0.0f;
      const int row = first + thread / 32 * 16 + thread % 32 / 4 + 8 * half;
      if (thread % 4 == 0 && row < a.sizes.Tq) {
        a.lse.at(work.b, work.n)[row] =
            reads ? ln2 * fmaf(softmax.largest[half], scale_log2, log2f(sum)) : kNever;
      }
    }
    if constexpr (Shape::kKeepsQueries) {
      // The results of the item before may still be on their way out.
      if (thread == 0) wait_copies_out_read();
      named_barrier_sync(kOwnBarrier + own, kWarpgroup);
      copy_rows_out<H, kRows>(shared.results, own * kOwnRows, own, o_map, first, work.n, work.b, o,
                              factors);
    } else {
      copy_rows_out<H, kRows>(shared.queries, own * kOwnRows, own, o_map, first, work.n, work.b, o,
                              factors);
      if (thread == 0) {
        wait_copies_out_read();
        barrier_arrive(&shared.query_ring.empty[0]);
      }
    }
    query_stage.next();
  }
};

template <class Shape>
__device__ void compute_forward(ForwardShared<Shape>& shared, const TensorMap& o_map,
                                const ForwardArguments& a, int own) {
  ForwardWorker<Shape> worker{shared, a, own};
  worker.scale_log2 = a.sizes.scale * kLog2e;
  if (own == 1) worker.give_turn();
  for (int i = 0, item = a.schedule.item(0); item < a.schedule.items; item = a.schedule.item(++i)) {
    const RowItem work = RowItem::of(a.sizes, a.schedule, item, Shape::kTileKeys);
    float o[Shape::H / 2];
    clear(o);
    SoftmaxRows softmax;
    worker.begin(work);
    for (int step = worker.pass_over(0); step < work.walk.count(); step = worker.pass_over(step)) {
      step = worker.run(step, o, softmax);
    }
    worker.finish(work, o_map, o, softmax);
  }
  if (threadIdx.x % kWarpgroup == 0) wait_copies_out_read();
}

template <class Shape>
__global__ __launch_bounds__(kThreads,
                             1) void forward_kernel(const __grid_constant__ TensorMap q_map,
                                                    const __grid_constant__ TensorMap k_map,
                                                    const __grid_constant__ TensorMap v_map,
                                                    const __grid_constant__ TensorMap o_map,
                                                    const __grid_constant__ ForwardArguments a) {
  auto& shared = *dynamic_shared<ForwardShared<Shape>>();
  if (threadIdx.x == 0) {
    constexpr int warps = 2 * kWarpgroup / 32;
    shared.query_ring.init(Shape::kKeepsQueries ? warps : 2);
    shared.key_ring.init(warps);
    shared.value_ring.init(warps);
    publish_barriers();
  }
  __syncthreads();
  const int warpgroup = threadIdx.x / kWarpgroup;
  if (warpgroup == 0) {
    give_back_registers<kCopyRegisters>();
    if (threadIdx.x < 32 && elected_lane()) copy_forward(shared, q_map, k_map, v_map, a);
  } else {
    take_registers<kComputeRegisters>();
    compute_forward(shared, o_map, a, warpgroup - 1);
  }
}

template <class Shape>
void launch_forward(const Exec& ex, View o, ConstView q, ConstView k, ConstView v,
                    ForwardArguments a) {
  a.schedule = schedule_of(a.sizes, a.sizes.Tq, a.sizes.N, true);
  launch(ex, forward_kernel<Shape>, blocks_of(ex, a.schedule.items), dim3(kThreads),
         sizeof(ForwardShared<Shape>), head_rows_map(q, kRows), head_rows_map(k, Shape::kTileKeys),
         head_rows_map(v, Shape::kTileKeys), head_rows_map(o, kOwnRows), a);
}

template <int H>
void choose_forward(const Exec& ex, View o, ConstView q, ConstView k, ConstView v,
                    const AttentionRule& rule, const ForwardArguments& a) {
  if (is_short(rule, q.dim(1))) {
    launch_forward<ForwardShape<H, 64, 4, false>>(ex, o, q, k, v, a);
  } else {
    launch_forward<ForwardShape<H, 128, 2, true>>(ex, o, q, k, v, a);
  }
}

}  // namespace

namespace attention_wgmma {

void forward(const Exec& ex, View o, View lse, ConstView q, ConstView k, ConstView v,
             const AttentionRule& rule) {
  const ForwardArguments a{attention_sizes(q, k, rule), row_numbers(lse), {}};
  if (q.dim(3) == 64) return choose_forward<64>(ex, o, q, k, v, rule, a);
  mixspan::check(q.dim(3) == 128, "attention_wgmma: heads of 64 or 128 channels, not {}", q.dim(3));
  choose_forward<128>(ex, o, q, k, v, rule, a);
}

}  // namespace attention_wgmma

}  // namespace mixspan::cuda
