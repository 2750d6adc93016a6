// Attention forward on the tensor cores of sm_80 and later: tiles of queries against a stream of
// tiles of keys and values, with the softmax kept up to date on the way (Milakov & Gimelshein 2018,
// arXiv:1805.02867; Dao 2023, arXiv:2307.08691).
#include <limits>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_choice.h"
#include "kernels/cuda/attention_mma_walk.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

namespace {

using namespace mma;

constexpr float kUnread = -std::numeric_limits<float>::infinity();

/// What a block works on, in shared memory, which spares registers.
struct Plan {
  const bf16 *q, *k, *v;
  bf16* o;
  float* lse;
  int first;  ///< row of queries
  TileWalk walk;
  Bounds reach[4];  ///< of each warp's rows
};

/// kRows queries, 16 kRowTiles by each warp, against tiles of kKeys keys, kStep keys at a time.
/// kStep and whether the queries stay in registers are what the registers allow.
template <int kHeadSize, int kKeysOfStep, bool kQueriesStay>
struct ForwardTiles {
  static constexpr int H = kHeadSize, kRowTiles = 2, kWarps = 4, kKeys = 64, kStep = kKeysOfStep;
  static constexpr int kThreads = 32 * kWarps, kRows = 16 * kRowTiles * kWarps;
  static constexpr int kQueryBytes = kRows * Tile<H>::kRowBytes;
  static constexpr int kKeyBytes = kKeys * Tile<H>::kRowBytes;
  static constexpr int kStageBytes = 2 * kKeyBytes;  // keys, then values
  static constexpr int kBoundsAt = kQueryBytes + 2 * kStageBytes;
  static constexpr int kPlanAt = kBoundsAt + kRows * static_cast<int>(sizeof(Bounds));
  static constexpr int kSharedBytes = kPlanAt + static_cast<int>(sizeof(Plan));
  using Queries =
      std::conditional_t<kQueriesStay, KeptRows<H, kRowTiles>, SharedRows<H, kRowTiles>>;
};

struct ForwardArguments {
  HeadRows<bf16> o;
  RowNumbers<float> lse;
  HeadRows<const bf16> q, k, v;
  AttentionSizes sizes;
  float scale_log2;  ///< scale * log2(e)
  BlockOrder order;
};

/// A row's weights are relative to the largest score at the time its base was set. It is only set
/// again when a score is larger by more than this, as power of two, which is rare; weights and sums
/// keep their relative precision below it (as in FlashAttention-4).
constexpr float kLooseness = 8.0f;

/// The rows of a warp. Lane l holds of row tile m the rows l / 4 (half 0) and l / 4 + 8 (half 1).
template <class S>
struct WarpRows {
  float sum[S::kRowTiles][S::H / 8][4];
  float base[S::kRowTiles][2];   ///< raw score whose weight is 1; kUnread: no key was read
  float total[S::kRowTiles][2];  ///< of the weights in this lane's columns

  __device__ void clear() {
    mma::clear(sum);
#pragma unroll
    for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        base[m][half] = kUnread;
        total[m][half] = 0;
      }
    }
  }
};

template <class S>
using Scores = float[S::kRowTiles][S::kStep / 8][4];

/// Scores of keys that a row does not read become kUnread. `key`: the lane's first key of the tile.
template <class S>
__device__ inline void mask(Scores<S>& s, const Bounds* bounds, int key) {
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Bounds own = bounds[m * 16 + half * 8];
#pragma unroll
      for (int n = 0; n < S::kStep / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if (!own.hold(key + n * 8 + i)) s[m][n][2 * half + i] = kUnread;
        }
      }
    }
  }
}

/// Whether a row needs `largest` as its base. A base of kUnread and a scale of 0 would make NaN,
/// which is larger than nothing.
__device__ inline bool outgrows(float largest, float base, float scale_log2) {
  return (base == kUnread && largest != kUnread) || (largest - base) * scale_log2 > kLooseness;
}

/// Rows whose largest score of `s` has outgrown their base get it as the new base.
template <class S>
__device__ inline void update_bases(const Scores<S>& s, WarpRows<S>& rows, float scale_log2) {
  float largest[S::kRowTiles][2];
  bool outgrown = false;
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float of_row = kUnread;
#pragma unroll
      for (int n = 0; n < S::kStep / 8; ++n) {
        of_row = fmaxf(of_row, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
      }
      of_row = fmaxf(of_row, __shfl_xor_sync(0xffffffffu, of_row, 1));
      of_row = fmaxf(of_row, __shfl_xor_sync(0xffffffffu, of_row, 2));
      largest[m][half] = of_row;
      outgrown |= outgrows(of_row, rows.base[m][half], scale_log2);
    }
  }
  if (!__any_sync(0xffffffffu, outgrown)) return;
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float& base = rows.base[m][half];
      const float grown = largest[m][half];
      if (!outgrows(grown, base, scale_log2)) continue;  // its numbers stay as they are
      const float fade = base == kUnread ? 0.0f : exp2_approx((base - grown) * scale_log2);
      base = grown;
      rows.total[m][half] *= fade;
#pragma unroll
      for (int n = 0; n < S::H / 8; ++n) {
        rows.sum[m][n][2 * half] *= fade;
        rows.sum[m][n][2 * half + 1] *= fade;
      }
    }
  }
}

/// Scores become weights. kMasked: some scores may be kUnread, even all of a row's so far.
template <class S, bool kMasked>
__device__ inline void to_weights(Scores<S>& s, WarpRows<S>& rows, float scale_log2) {
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float base = rows.base[m][half];
      const float shift = kMasked && base == kUnread ? 0.0f : base * scale_log2;
      float total = rows.total[m][half];
#pragma unroll
      for (int n = 0; n < S::kStep / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& score = s[m][n][2 * half + i];
          const float weight = exp2_approx(fmaf(score, scale_log2, -shift));
          score = kMasked && score == kUnread ? 0.0f : weight;  // a scale of 0 would make NaN
          total += score;
        }
      }
      rows.total[m][half] = total;
    }
  }
}

/// One tile of keys. `bounds`: of the lane's first row; `key`: the tile's first.
template <class S, bool kMasked>
__device__ inline void visit(WarpRows<S>& rows, const typename S::Queries& queries,
                             SharedAddress stage, const Bounds* bounds, int key, float scale_log2) {
  const int lane = threadIdx.x % 32;
  const auto keys = Fragments<S::H>::of_columns(stage, 0, lane);
  const auto values = Fragments<S::H>::of_rows(stage + S::kKeyBytes, 0, lane);
#pragma unroll 1
  for (int first = 0; first < S::kKeys; first += S::kStep) {
    Scores<S> s;
    clear(s);
    add_product<S::H>(s, queries, keys.moved(first * Tile<S::H>::kRowBytes));
    if constexpr (kMasked) mask<S>(s, bounds, key + first + 2 * (lane % 4));
    update_bases<S>(s, rows, scale_log2);
    to_weights<S, kMasked>(s, rows, scale_log2);
    add_weighted<S::H>(rows.sum, s, values.moved(first * Tile<S::H>::kRowBytes));
  }
}

/// Fetches tiles of keys and values into two stages by turns.
template <class S>
struct KeyStream {
  const Plan* plan;
  std::int64_t k_stride, v_stride;
  int Tk;
  SharedAddress stages;

  __device__ SharedAddress stage(int step) const { return stages + step % 2 * S::kStageBytes; }
  __device__ void fetch(int step) const {
    if (step >= plan->walk.count()) return;
    const int first = plan->walk.tile(step) * S::kKeys;
    const SharedAddress to = stage(step);
    load_rows<S::H, S::kKeys, S::kThreads>(to, plan->k, k_stride, first, Tk);
    load_rows<S::H, S::kKeys, S::kThreads>(to + S::kKeyBytes, plan->v, v_stride, first, Tk);
    cp_async_commit();
  }
  /// Waits for a step's tile and starts the next one's copy over the one before.
  __device__ void turn_to(int step) const {
    cp_async_wait<0>();
    __syncthreads();
    fetch(step + 1);
  }
};

/// o and lse of a warp's rows from `first` on, through its rows of the tile of queries.
template <class S>
__device__ inline void finish(const ForwardArguments& a, const Plan& plan, unsigned char* queries,
                              WarpRows<S>& rows, int own) {
  const int lane = threadIdx.x % 32, first = plan.first;
  float inverse[S::kRowTiles][2];
#pragma unroll
  for (int m = 0; m < S::kRowTiles; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = rows.total[m][half];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      const bool read = rows.base[m][half] != kUnread;
      inverse[m][half] = read ? 1.0f / total : 0.0f;
      const int r = first + own + m * 16 + half * 8 + lane / 4;
      if (lane % 4 == 0 && r < a.sizes.Tq) {
        plan.lse[r] = read ? fmaf(rows.base[m][half], a.sizes.scale, logf(total)) : kUnread;
      }
    }
  }
  store_rows<S::H>(queries, own, plan.o, a.o.row, first, a.sizes.Tq, rows.sum,
                   [&](int m, int half) { return inverse[m][half]; });
}

// A block for each tile of queries of each head; BlockOrder says which.
template <class S>
__global__ void __launch_bounds__(S::kThreads) forward_kernel(const ForwardArguments a) {
  unsigned char* shared = dynamic_shared<unsigned char>();
  const BlockOrder::Place place = a.order.place(blockIdx.x);
  const int b = place.head / a.sizes.N, n = place.head % a.sizes.N, head = n / a.sizes.group;
  const int first = place.tile * S::kRows;
  const int last = first + S::kRows < a.sizes.Tq ? first + S::kRows : a.sizes.Tq;
  const SequenceSpan span = a.sizes.sequence(b);
  auto* plan = reinterpret_cast<Plan*>(shared + S::kPlanAt);
  if (threadIdx.x == 0) {
    plan->q = a.q.at(b, 0, n);
    plan->k = a.k.at(b, 0, head);
    plan->v = a.v.at(b, 0, head);
    plan->o = a.o.at(b, 0, n);
    plan->lse = a.lse.at(b, n);
    plan->first = first;
    plan->walk = key_walk(a.sizes, span, first, last, S::kKeys);
  }
  __syncthreads();
  const KeyStream<S> keys = {plan, a.k.row, a.v.row, a.sizes.Tk,
                             shared_address(shared + S::kQueryBytes)};

  const SharedAddress query_tile = shared_address(shared);
  load_rows<S::H, S::kRows, S::kThreads>(query_tile, plan->q, a.q.row, first, a.sizes.Tq);
  cp_async_commit();
  keys.fetch(0);
  Bounds* bounds = reinterpret_cast<Bounds*>(shared + S::kBoundsAt);
  for (int r = threadIdx.x; r < S::kRows; r += S::kThreads) {
    bounds[r] = bounds_of(a.sizes, span, first + r);
  }
  cp_async_wait<0>();
  __syncthreads();

  const int lane = threadIdx.x % 32, own = static_cast<int>(threadIdx.x) / 32 * 16 * S::kRowTiles;
  Bounds& reach = plan->reach[threadIdx.x / 32];
  if (lane == 0) {  // what the warp's rows read; none for a warp past the last row
    const int end = first + own + 16 * S::kRowTiles < last ? own + 16 * S::kRowTiles : last - first;
    reach = end <= own ? Bounds{0, 0} : Bounds{bounds[own].begin, bounds[end - 1].end};
  }
  __syncwarp();
  typename S::Queries queries;
  queries.load(Fragments<S::H>::of_rows(query_tile, own, lane));
  WarpRows<S> rows;
  rows.clear();
  int step = 0;
  for (; step < plan->walk.masked(); ++step) {
    keys.turn_to(step);
    const int key = plan->walk.tile(step) * S::kKeys;
    if (key + S::kKeys <= reach.begin || key >= reach.end) continue;
    visit<S, true>(rows, queries, keys.stage(step), bounds + own + lane / 4, key, a.scale_log2);
  }
  for (; step < plan->walk.count(); ++step) {
    keys.turn_to(step);
    visit<S, false>(rows, queries, keys.stage(step), nullptr, 0, a.scale_log2);
  }
  finish<S>(a, *plan, shared, rows, own);
}

template <class S>
void launch_forward(const Exec& ex, ForwardArguments a) {
  static_assert(S::kSharedBytes <= mma_shared_bytes(S::H));
  a.order = block_order(a.sizes, S::kRows, a.sizes.Tq, a.sizes.N, true);
  launch(ex, forward_kernel<S>, a.order.blocks(), S::kThreads, S::kSharedBytes, a);
}

}  // namespace

void attention_mma::forward(const Exec& ex, View o, View lse, ConstView q, ConstView k, ConstView v,
                            const AttentionRule& rule) {
  if (q.size() == 0) return;
  const ForwardArguments a = {head_rows<bf16>(o),  row_numbers(lse),
                              head_rows<bf16>(q),  head_rows<bf16>(k),
                              head_rows<bf16>(v),  attention_sizes(q, k, rule),
                              rule.scale * kLog2e, {}};
  mixspan::check(rule.scale >= 0, "attention: wanted a scale of 0 or more, got {}", rule.scale);
  if (a.sizes.H == 32) return launch_forward<ForwardTiles<32, 64, true>>(ex, a);
  if (a.sizes.H == 64) return launch_forward<ForwardTiles<64, 64, true>>(ex, a);
  if (a.sizes.H == 96) return launch_forward<ForwardTiles<96, 32, false>>(ex, a);
  if (a.sizes.H == 128) return launch_forward<ForwardTiles<128, 32, false>>(ex, a);
  fail("attention: the mma kernel has no head size of {}", a.sizes.H);
}

}  // namespace mixspan::cuda
