// The first kernel of attention backward (attention_mma_backward.cu): dq by tiles of queries, and
// delta, which the second reads.
#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/attention_mma_backward.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vec.cuh"

namespace mixspan::cuda {

namespace {

using namespace mma;

/// What is known of a row of queries.
struct QueryRow {
  float lse_log2, delta;
  Bounds bounds;
};

/// What a block of the dq kernel works on, in shared memory, which spares registers.
template <class S>
struct QueryPlan {
  QueryRow rows[S::kRows];
  const bf16 *k, *v;
  bf16* dq;
  int first;
  TileWalk walk;
  Bounds reach[S::kWarps];
};
template <class S>
constexpr int query_shared_bytes() {
  return S::kNumbersAt + static_cast<int>(sizeof(QueryPlan<S>));
}

/// rowsum(do * o) of a row by two neighbouring lanes.
template <int H>
__device__ inline float delta_of(const bf16* d_o, const bf16* o, int lane) {
  float sum = 0;
#pragma unroll 2
  for (int piece = lane % 2; piece < H / 8; piece += 2) {
    const auto x = load_pack<8>(d_o + 8 * piece), y = load_pack<8>(o + 8 * piece);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum = fmaf(to_float(x.at[i]), to_float(y.at[i]), sum);
  }
  return sum + __shfl_xor_sync(0xffffffffu, sum, 1);
}

/// Fills in the warp's own rows and its reach, and writes delta.
template <class S>
__device__ inline void note_queries(const BackwardArguments& a, QueryPlan<S>& plan,
                                    const SequenceSpan& span, int b, int n, int own) {
  const int lane = threadIdx.x % 32, first = plan.first;
  const float* lse = a.lse.at(b, n);
  float* delta = a.delta.at(b, n);
#pragma unroll 1
  for (int m = 0; m < S::kRowTiles; ++m) {
    const int row = own + 16 * m + lane / 2, r = first + row;
    const bool valid = r < a.sizes.Tq;
    const float own_delta =
        delta_of<S::H>(a.do_.at(b, valid ? r : 0, n), a.o.at(b, valid ? r : 0, n), lane);
    if (lane % 2 != 0) continue;
    plan.rows[row] = {valid ? finite_or_zero(lse[r]) * kLog2e : 0.0f, valid ? own_delta : 0.0f,
                      bounds_of(a.sizes, span, r)};
    if (valid) delta[r] = own_delta;
  }
  __syncwarp();
  if (lane == 0) {
    const int rows = std::min<int>(16 * S::kRowTiles, a.sizes.Tq - first - own);
    plan.reach[threadIdx.x / 32] =
        rows <= 0 ? Bounds{0, 0}
                  : Bounds{plan.rows[own].bounds.begin, plan.rows[own + rows - 1].bounds.end};
  }
  __syncwarp();
}

/// p and dp become ds. `key`: the lane's first key. `rows`: the lane's first row.
template <class S, bool kMasked>
__device__ inline void to_query_gradients(Products<S>& p, const Products<S>& dp,
                                          const QueryRow* rows, int key, float scale_log2) {
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const QueryRow row = rows[m * 16 + half * 8];
#pragma unroll
      for (int n = 0; n < S::kStep / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = p[m][n][2 * half + i];
          const float weight = exp2_approx(fmaf(x, scale_log2, -row.lse_log2));
          x = weight * (dp[m][n][2 * half + i] - row.delta);
          if (kMasked && !row.bounds.hold(key + n * 8 + i)) x = 0;
        }
      }
    }
  }
}

template <class S, bool kMasked>
__device__ inline void visit_keys(Sums<S>& dq, const typename S::Rows& q,
                                  const typename S::Rows& d_o, SharedAddress stage,
                                  const QueryRow* rows, int key, float scale_log2) {
  const int lane = threadIdx.x % 32;
  const auto keys = Fragments<S::H>::of_columns(stage, 0, lane);
  const auto key_rows = Fragments<S::H>::of_rows(stage, 0, lane);
#pragma unroll 1
  for (int first = 0; first < S::kOthers; first += S::kStep) {
    const int bytes = first * Tile<S::H>::kRowBytes;
    Products<S> p, dp;
    clear(p);
    add_product<S::H>(p, q, keys.moved(bytes));
    clear(dp);
    add_product<S::H>(dp, d_o, keys.moved(bytes + S::kOtherBytes));
    to_query_gradients<S, kMasked>(p, dp, rows, key + first + 2 * (lane % 4), scale_log2);
    add_weighted<S::H>(dq, p, key_rows.moved(bytes));
  }
}

/// Starts the copy of a step's keys and values.
template <class S>
__device__ inline void fetch_keys(const BackwardArguments& a, const QueryPlan<S>& plan,
                                  SharedAddress stages, int step) {
  if (step >= plan.walk.count()) return;
  const int first = plan.walk.tile(step) * S::kOthers;
  const SharedAddress to = stages + step % 2 * S::kStageBytes;
  load_rows<S::H, S::kOthers, S::kThreads>(to, plan.k, a.k.row, first, a.sizes.Tk);
  load_rows<S::H, S::kOthers, S::kThreads>(to + S::kOtherBytes, plan.v, a.v.row, first, a.sizes.Tk);
  cp_async_commit();
}

// A block for each tile of queries of each head.
template <class S>
__global__ void __launch_bounds__(S::kThreads) dq_kernel(const BackwardArguments a) {
  unsigned char* shared = dynamic_shared<unsigned char>();
  auto& plan = *reinterpret_cast<QueryPlan<S>*>(shared + S::kNumbersAt);
  const SharedAddress tiles = shared_address(shared), stages = tiles + S::kStagesAt;
  const int lane = threadIdx.x % 32, own = static_cast<int>(threadIdx.x) / 32 * 16 * S::kRowTiles;
  {
    const BlockOrder::Place place = a.order.place(blockIdx.x);
    const int b = place.head / a.sizes.N, n = place.head % a.sizes.N, head = n / a.sizes.group;
    const int first = place.tile * S::kRows, last = std::min<int>(first + S::kRows, a.sizes.Tq);
    const SequenceSpan span = a.sizes.sequence(b);
    if (threadIdx.x == 0) {
      plan.k = a.k.at(b, 0, head);
      plan.v = a.v.at(b, 0, head);
      plan.dq = a.dq.at(b, 0, n);
      plan.first = first;
      plan.walk = key_walk(a.sizes, span, first, last, S::kOthers);
    }
    __syncthreads();
    load_rows<S::H, S::kRows, S::kThreads>(tiles, a.q.at(b, 0, n), a.q.row, first, last);
    load_rows<S::H, S::kRows, S::kThreads>(tiles + S::kRowBytes, a.do_.at(b, 0, n), a.do_.row,
                                           first, last);
    cp_async_commit();
    fetch_keys<S>(a, plan, stages, 0);
    note_queries<S>(a, plan, span, b, n, own);
    cp_async_wait<0>();
    __syncthreads();
  }
  typename S::Rows q, d_o;
  q.load(Fragments<S::H>::of_rows(tiles, own, lane));
  d_o.load(Fragments<S::H>::of_rows(tiles + S::kRowBytes, own, lane));
  Sums<S> dq;
  clear(dq);
  const QueryRow* rows = plan.rows + own + lane / 4;
  for (int step = 0; step < plan.walk.count(); ++step) {
    cp_async_wait<0>();
    __syncthreads();
    fetch_keys<S>(a, plan, stages, step + 1);
    const SharedAddress stage = stages + step % 2 * S::kStageBytes;
    if (step >= plan.walk.masked()) {
      visit_keys<S, false>(dq, q, d_o, stage, rows, 0, a.scale_log2);
      continue;
    }
    const int key = plan.walk.tile(step) * S::kOthers;
    const Bounds reach = plan.reach[threadIdx.x / 32];
    if (key + S::kOthers <= reach.begin || key >= reach.end) continue;
    visit_keys<S, true>(dq, q, d_o, stage, rows, key, a.scale_log2);
  }
  store_rows<S::H>(shared, own, plan.dq, a.dq.row, plan.first, a.sizes.Tq, dq,
                   [&](int, int) { return a.sizes.scale; });
}

template <class S>
void launch_tiles(const Exec& ex, BackwardArguments a) {
  static_assert(query_shared_bytes<S>() <= mma_shared_bytes(S::H));
  a.order = block_order(a.sizes, S::kRows, a.sizes.Tq, a.sizes.N, true);
  launch(ex, dq_kernel<S>, a.order.blocks(), S::kThreads, query_shared_bytes<S>(), a);
}

}  // namespace

void mma::launch_dq(const Exec& ex, BackwardArguments a) {
  if (a.sizes.H == 32) return launch_tiles<BackwardTiles<32, 4, 2, 1>>(ex, a);
  if (a.sizes.H == 64) return launch_tiles<BackwardTiles<64, 4, 2, 0>>(ex, a);
  if (a.sizes.H == 96) return launch_tiles<BackwardTiles<96, 8, 1, 1>>(ex, a);
  if (a.sizes.H == 128) return launch_tiles<BackwardTiles<128, 8, 1, 1>>(ex, a);
  fail("attention: the mma kernel has no head size of {}", a.sizes.H);
}

}  // namespace mixspan::cuda
