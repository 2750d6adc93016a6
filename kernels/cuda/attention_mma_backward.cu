// Attention backward on the tensor cores of sm_80 and later, in two kernels: dq by tiles of
// queries, then dk and dv by tiles of keys. What is written is owned by one block, so there are no
// atomics and the bits are always the same (Dao 2023, arXiv:2307.08691, split in two).
//     p = exp(scale q k^T - lse), delta = rowsum(do * o), ds = p * (do v^T - delta),
//     dq = scale ds k, dk = scale ds^T q, dv = p^T do; p and ds are rounded to bf16.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/attention_mma_backward.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

namespace {

using namespace mma;

/// What is known of the queries of a stage.
template <class S>
struct StageNumbers {
  float lse[S::kOthers], delta[S::kOthers];
  Bounds bounds[S::kOthers];  ///< only where the tile needs a mask
};

/// What a block of the dk and dv kernel works on.
template <class S>
struct KeyPlan {
  StageNumbers<S> stages[2];
  bf16 *dk, *dv;
  int first, b, head, steps;
  TileWalk walk;
};
template <class S>
constexpr int key_shared_bytes() {
  return S::kNumbersAt + static_cast<int>(sizeof(KeyPlan<S>));
}

/// Starts the copy of a step's queries, their do and their numbers. Steps: for each query head of
/// the group, its tiles.
template <class S>
__device__ inline void fetch_queries(const BackwardArguments& a, KeyPlan<S>& plan,
                                     SharedAddress stages, int step) {
  if (step >= plan.steps) return;
  const int of_head = step % plan.walk.count(), b = plan.b;
  const int n = plan.head * a.sizes.group + step / plan.walk.count();
  const int first = plan.walk.tile(of_head) * S::kOthers;
  const SharedAddress to = stages + step % 2 * S::kStageBytes;
  load_rows<S::H, S::kOthers, S::kThreads>(to, a.q.at(b, 0, n), a.q.row, first, a.sizes.Tq);
  load_rows<S::H, S::kOthers, S::kThreads>(to + S::kOtherBytes, a.do_.at(b, 0, n), a.do_.row, first,
                                           a.sizes.Tq);
  StageNumbers<S>& numbers = plan.stages[step % 2];
  const int i = threadIdx.x, r = first + i;
  if (i < S::kOthers) {
    const bool valid = r < a.sizes.Tq;
    cp_async_4(shared_address(&numbers.lse[i]), a.lse.at(b, n) + (valid ? r : 0), valid);
    cp_async_4(shared_address(&numbers.delta[i]), a.delta.at(b, n) + (valid ? r : 0), valid);
    if (of_head < plan.walk.masked()) {
      numbers.bounds[i] = bounds_of(a.sizes, a.sizes.sequence(b), r);
    }
  }
  cp_async_commit();
}

/// Scores become p, dp becomes ds: rows are keys, columns queries. `key`: the lane's first row.
/// `query`: the lane's first column within the stage.
template <class S, bool kMasked>
__device__ inline void to_key_gradients(Products<S>& p, Products<S>& dp,
                                        const StageNumbers<S>& numbers, int query, int key,
                                        float scale_log2) {
#pragma unroll
  for (int n = 0; n < S::kStep / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = query + n * 8 + i;
      const float shift = finite_or_zero(numbers.lse[column]) * kLog2e;
      const float delta = numbers.delta[column];
      Bounds bounds{0, 0};
      if constexpr (kMasked) bounds = numbers.bounds[column];
#pragma unroll
      for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float &weight = p[m][n][2 * half + i], &gradient = dp[m][n][2 * half + i];
          weight = exp2_approx(fmaf(weight, scale_log2, -shift));
          gradient = weight * (gradient - delta);
          if (kMasked && !bounds.hold(key + m * 16 + half * 8)) weight = gradient = 0;
        }
      }
    }
  }
}

template <class S, bool kMasked>
__device__ inline void visit_queries(Sums<S>& dk, Sums<S>& dv, const typename S::Rows& k,
                                     const typename S::Rows& v, SharedAddress stage,
                                     const StageNumbers<S>& numbers, int key, float scale_log2) {
  const int lane = threadIdx.x % 32;
  const auto queries = Fragments<S::H>::of_columns(stage, 0, lane);
  const auto query_rows = Fragments<S::H>::of_rows(stage, 0, lane);
#pragma unroll 1
  for (int first = 0; first < S::kOthers; first += S::kStep) {
    const int bytes = first * Tile<S::H>::kRowBytes;
    Products<S> p, dp;
    clear(p);
    add_product<S::H>(p, k, queries.moved(bytes));
    clear(dp);
    add_product<S::H>(dp, v, queries.moved(bytes + S::kOtherBytes));
    to_key_gradients<S, kMasked>(p, dp, numbers, first + 2 * (lane % 4), key, scale_log2);
    add_weighted<S::H>(dv, p, query_rows.moved(bytes + S::kOtherBytes));
    add_weighted<S::H>(dk, dp, query_rows.moved(bytes));
  }
}

// A block for each tile of keys of each key head.
template <class S>
__global__ void __launch_bounds__(S::kThreads) dkv_kernel(const BackwardArguments a) {
  unsigned char* shared = dynamic_shared<unsigned char>();
  auto& plan = *reinterpret_cast<KeyPlan<S>*>(shared + S::kNumbersAt);
  const SharedAddress tiles = shared_address(shared), stages = tiles + S::kStagesAt;
  const int lane = threadIdx.x % 32, own = static_cast<int>(threadIdx.x) / 32 * 16 * S::kRowTiles;
  {
    const BlockOrder::Place place = a.order.place(blockIdx.x);
    const int b = place.head / a.sizes.K, head = place.head % a.sizes.K;
    const int first = place.tile * S::kRows, last = std::min<int>(first + S::kRows, a.sizes.Tk);
    if (threadIdx.x == 0) {
      plan.dk = a.dk.at(b, 0, head);
      plan.dv = a.dv.at(b, 0, head);
      plan.first = first;
      plan.b = b;
      plan.head = head;
      plan.walk = query_walk(a.sizes, a.sizes.sequence(b), first, last, S::kOthers);
      plan.steps = plan.walk.count() * a.sizes.group;
    }
    __syncthreads();
    load_rows<S::H, S::kRows, S::kThreads>(tiles, a.k.at(b, 0, head), a.k.row, first, last);
    load_rows<S::H, S::kRows, S::kThreads>(tiles + S::kRowBytes, a.v.at(b, 0, head), a.v.row, first,
                                           last);
    cp_async_commit();
    fetch_queries<S>(a, plan, stages, 0);
    cp_async_wait<0>();
    __syncthreads();
  }
  typename S::Rows k, v;
  k.load(Fragments<S::H>::of_rows(tiles, own, lane));
  v.load(Fragments<S::H>::of_rows(tiles + S::kRowBytes, own, lane));
  Sums<S> dk, dv;
  clear(dk);
  clear(dv);
  const int key = plan.first + own;
  for (int step = 0; step < plan.steps; ++step) {
    cp_async_wait<0>();
    __syncthreads();
    fetch_queries<S>(a, plan, stages, step + 1);
    const SharedAddress stage = stages + step % 2 * S::kStageBytes;
    const StageNumbers<S>& numbers = plan.stages[step % 2];
    const int of_head = step % plan.walk.count();
    if (of_head >= plan.walk.masked()) {
      visit_queries<S, false>(dk, dv, k, v, stage, numbers, 0, a.scale_log2);
      continue;
    }
    const int rows = std::min(int{S::kOthers}, a.sizes.Tq - plan.walk.tile(of_head) * S::kOthers);
    const bool read =
        numbers.bounds[0].begin < key + 16 * S::kRowTiles && key < numbers.bounds[rows - 1].end;
    if (!read) continue;
    visit_queries<S, true>(dk, dv, k, v, stage, numbers, key + lane / 4, a.scale_log2);
  }
  store_rows<S::H>(shared, own, plan.dk, a.dk.row, plan.first, a.sizes.Tk, dk,
                   [&](int, int) { return a.sizes.scale; });
  store_rows<S::H>(shared + S::kRowBytes, own, plan.dv, a.dv.row, plan.first, a.sizes.Tk, dv,
                   [](int, int) { return 1.0f; });
}

template <class S>
void launch_dkv(const Exec& ex, BackwardArguments a) {
  static_assert(key_shared_bytes<S>() <= mma_shared_bytes(S::H));
  a.order = block_order(a.sizes, S::kRows, a.sizes.Tk, a.sizes.K, false);
  launch(ex, dkv_kernel<S>, a.order.blocks(), S::kThreads, key_shared_bytes<S>(), a);
}

}  // namespace

void attention_mma::backward(const Exec& ex, View dq, View dk, View dv, ConstView do_, ConstView q,
                             ConstView k, ConstView v, ConstView o, ConstView lse,
                             const AttentionRule& rule) {
  auto scope = ex.scratch.scope();
  const View delta = ex.scratch.allocate("attention delta", lse.shape());
  const BackwardArguments a = {head_rows<bf16>(dq),
                               head_rows<bf16>(dk),
                               head_rows<bf16>(dv),
                               head_rows<bf16>(do_),
                               head_rows<bf16>(q),
                               head_rows<bf16>(k),
                               head_rows<bf16>(v),
                               head_rows<bf16>(o),
                               row_numbers(lse),
                               row_numbers(delta),
                               attention_sizes(q, k, rule),
                               rule.scale * kLog2e,
                               {}};
  if (a.sizes.Tq > 0 && a.sizes.N > 0) launch_dq(ex, a);
  if (a.sizes.Tk == 0) return;
  if (a.sizes.H == 32) return launch_dkv<BackwardTiles<32, 4, 2, 1>>(ex, a);
  if (a.sizes.H == 64) return launch_dkv<BackwardTiles<64, 8, 1, 1>>(ex, a);
  if (a.sizes.H == 96) return launch_dkv<BackwardTiles<96, 8, 1, 0>>(ex, a);
  if (a.sizes.H == 128) return launch_dkv<BackwardTiles<128, 8, 1, 0>>(ex, a);
  fail("attention: the mma kernel has no head size of {}", a.sizes.H);
}

}  // namespace mixspan::cuda
