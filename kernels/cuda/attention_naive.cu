// Attention in plain loops, a block for each row that is written: what every faster kernel is
// compared with on a device. Each thread scores one key (or query) of a stretch at a time, then
// owns some of the H channels of the sums. Sums run in the order of the rows.
#include <limits>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_arguments.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kThreads = 128;
constexpr float kUnread = -std::numeric_limits<float>::infinity();

template <class T>
__device__ float dot(const float* a, const T* b, int H) {
  float sum = 0;
  for (int h = 0; h < H; ++h) sum = fmaf(a[h], static_cast<float>(b[h]), sum);
  return sum;
}

template <class T>
__device__ void load_row(float* to, const T* from, int H) {
  for (int h = threadIdx.x; h < H; h += kThreads) to[h] = static_cast<float>(from[h]);
}
template <class T>
__device__ void store_row(T* to, const float* from, int H) {
  for (int h = threadIdx.x; h < H; h += kThreads) to[h] = static_cast<T>(from[h]);
}
__device__ inline void clear_row(float* to, int H) {
  for (int h = threadIdx.x; h < H; h += kThreads) to[h] = 0;
}

// sum[h] += weights[i] * rows[i][h] over i < count; rows of weight 0 are not looked at.
template <class T>
__device__ void add_weighted(float* sum, const float* weights, const T* rows, std::int64_t stride,
                             int count, int H) {
  for (int h = threadIdx.x; h < H; h += kThreads) {
    float own = sum[h];
    for (int i = 0; i < count; ++i) {
      if (weights[i] != 0) own = fmaf(weights[i], static_cast<float>(rows[i * stride + h]), own);
    }
    sum[h] = own;
  }
}

__device__ inline int rows_from(std::int64_t first, Range rows) {
  return static_cast<int>(std::min<std::int64_t>(kThreads, rows.end - first));
}

// softmax(scale q k^T) v over those of `rows` that `visible` lets through (null: all of them).
// lse may be null.
template <class T>
__device__ void attend(T* o, float* lse, const T* q, const T* k, std::int64_t k_stride, const T* v,
                       std::int64_t v_stride, Range rows, const std::uint8_t* visible, int H,
                       float scale) {
  float* query = dynamic_shared<float>();
  float *sum = query + H, *weights = sum + H;
  const int thread = threadIdx.x;
  load_row(query, q, H);
  clear_row(sum, H);
  float largest = kUnread, total = 0;
  for (std::int64_t first = rows.begin; first < rows.end; first += kThreads) {
    const int count = rows_from(first, rows);
    __syncthreads();
    const bool reads = thread < count && (visible == nullptr || visible[first + thread] != 0);
    weights[thread] = reads ? scale * dot(query, k + (first + thread) * k_stride, H) : kUnread;
    __syncthreads();
    const float before = largest;
    for (int i = 0; i < count; ++i) largest = fmaxf(largest, weights[i]);
    if (largest == kUnread) continue;  // the same for all threads
    const float own = expf(weights[thread] - largest), fade = expf(before - largest);
    __syncthreads();
    weights[thread] = own;
    __syncthreads();
    total *= fade;
    for (int i = 0; i < count; ++i) total += weights[i];
    for (int h = thread; h < H; h += kThreads) sum[h] *= fade;
    add_weighted(sum, weights, v + first * v_stride, v_stride, count, H);
  }
  const bool read = largest != kUnread;
  for (int h = thread; h < H; h += kThreads) o[h] = static_cast<T>(read ? sum[h] / total : 0.0f);
  if (thread == 0 && lse != nullptr) *lse = read ? largest + logf(total) : kUnread;
}

template <class T>
struct Forward {
  HeadRows<T> o;
  RowNumbers<float> lse;
  HeadRows<const T> q, k, v;
  AttentionSizes sizes;
};

// Grid (Tq, N, B).
template <class T>
__global__ void __launch_bounds__(kThreads, 8) forward_kernel(Forward<T> a) {
  const std::int64_t r = blockIdx.x, n = blockIdx.y, b = blockIdx.z, head = n / a.sizes.group;
  const Range query = a.sizes.positions({r, r + 1});
  const Range keys = intersection(visible_keys(a.sizes.sequence(b), query), a.sizes.held_keys());
  attend(a.o.at(b, r, n), a.lse.at(b, n) + r, a.q.at(b, r, n), a.k.at(b, 0, head), a.k.row,
         a.v.at(b, 0, head), a.v.row, a.sizes.key_rows(keys), nullptr, a.sizes.H, a.sizes.scale);
}

template <class T>
struct Backward {
  HeadRows<T> dq, dk, dv;
  HeadRows<const T> do_, q, k, v, o;
  RowNumbers<const float> lse;
  RowNumbers<float> delta;  // do * o
  AttentionSizes sizes;
};

// dq and delta. Grid (Tq, N, B).
template <class T>
__global__ void __launch_bounds__(kThreads, 8) dq_kernel(Backward<T> a) {
  const std::int64_t r = blockIdx.x, n = blockIdx.y, b = blockIdx.z, head = n / a.sizes.group;
  const int H = a.sizes.H, thread = threadIdx.x;
  const Range query = a.sizes.positions({r, r + 1});
  const Range keys =
      a.sizes.key_rows(intersection(visible_keys(a.sizes.sequence(b), query), a.sizes.held_keys()));
  float *q = dynamic_shared<float>(), *d_o = q + H, *sum = d_o + H, *dscores = sum + H;
  load_row(q, a.q.at(b, r, n), H);
  load_row(d_o, a.do_.at(b, r, n), H);
  clear_row(sum, H);
  __syncthreads();
  const float delta = dot(d_o, a.o.at(b, r, n), H), lse = a.lse.at(b, n)[r];
  if (thread == 0) a.delta.at(b, n)[r] = delta;
  for (std::int64_t first = keys.begin; first < keys.end; first += kThreads) {
    const int count = rows_from(first, keys);
    if (thread < count) {
      const std::int64_t s = first + thread;
      const float weight = expf(a.sizes.scale * dot(q, a.k.at(b, s, head), H) - lse);
      dscores[thread] = a.sizes.scale * weight * (dot(d_o, a.v.at(b, s, head), H) - delta);
    }
    __syncthreads();
    add_weighted(sum, dscores, a.k.at(b, first, head), a.k.row, count, H);
    __syncthreads();
  }
  store_row(a.dq.at(b, r, n), sum, H);
}

// dk and dv, after delta. Grid (Tk, K, B).
template <class T>
__global__ void __launch_bounds__(kThreads, 8) dkv_kernel(Backward<T> a) {
  const std::int64_t s = blockIdx.x, head = blockIdx.y, b = blockIdx.z;
  const int H = a.sizes.H, thread = threadIdx.x;
  const Range key = {s + a.sizes.first_key, s + a.sizes.first_key + 1};
  const Range rows =
      a.sizes.query_rows(visible_queries(a.sizes.sequence(b), key, a.sizes.held_queries()));
  float *k = dynamic_shared<float>(), *v = k + H, *dk = v + H, *dv = dk + H;
  float *weights = dv + H, *dscores = weights + kThreads;
  load_row(k, a.k.at(b, s, head), H);
  load_row(v, a.v.at(b, s, head), H);
  clear_row(dk, H);
  clear_row(dv, H);
  __syncthreads();
  for (std::int64_t n = head * a.sizes.group; n < (head + 1) * a.sizes.group; ++n) {
    for (std::int64_t first = rows.begin; first < rows.end; first += kThreads) {
      const int count = rows_from(first, rows);
      if (thread < count) {
        const std::int64_t r = first + thread;
        const float weight = expf(a.sizes.scale * dot(k, a.q.at(b, r, n), H) - a.lse.at(b, n)[r]);
        const float dweight = dot(v, a.do_.at(b, r, n), H);
        weights[thread] = weight;
        dscores[thread] = a.sizes.scale * weight * (dweight - a.delta.at(b, n)[r]);
      }
      __syncthreads();
      add_weighted(dk, dscores, a.q.at(b, first, n), a.q.row, count, H);
      add_weighted(dv, weights, a.do_.at(b, first, n), a.do_.row, count, H);
      __syncthreads();
    }
  }
  store_row(a.dk.at(b, s, head), dk, H);
  store_row(a.dv.at(b, s, head), dv, H);
}

template <class T>
struct Decode {
  T* o;
  const T* q;
  std::int64_t o_batch, o_head, q_batch, q_head;
  HeadRows<const T> k, v;
  const std::uint8_t* visible;
  std::int32_t S, group, H;
  float scale;
};

// Grid (N, B).
template <class T>
__global__ void __launch_bounds__(kThreads, 8) decode_kernel(Decode<T> a) {
  const std::int64_t n = blockIdx.x, b = blockIdx.y, head = n / a.group;
  attend(a.o + b * a.o_batch + n * a.o_head, static_cast<float*>(nullptr),
         a.q + b * a.q_batch + n * a.q_head, a.k.at(b, 0, head), a.k.row, a.v.at(b, 0, head),
         a.v.row, {0, a.S}, a.visible, a.H, a.scale);
}

std::size_t shared_bytes(int rows_of_H, int rows_of_threads, std::int64_t H) {
  return sizeof(float) * static_cast<std::size_t>(rows_of_H * H + rows_of_threads * kThreads);
}
dim3 grid(std::int64_t x, std::int64_t y, std::int64_t z) {
  return {static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z)};
}

}  // namespace

void attention_naive::forward(const Exec& ex, View o, View lse, ConstView q, ConstView k,
                              ConstView v, const AttentionRule& rule) {
  const AttentionSizes s = attention_sizes(q, k, rule);
  if (q.size() == 0) return;
  dispatch<float, bf16>("attention", q.dtype(), [&]<class T>() {
    const Forward<T> a = {head_rows<T>(o), row_numbers(lse), head_rows<T>(q),
                          head_rows<T>(k), head_rows<T>(v),  s};
    launch(ex, forward_kernel<T>, grid(s.Tq, s.N, s.B), kThreads, shared_bytes(2, 1, s.H), a);
  });
}

void attention_naive::backward(const Exec& ex, View dq, View dk, View dv, ConstView do_,
                               ConstView q, ConstView k, ConstView v, ConstView o, ConstView lse,
                               const AttentionRule& rule) {
  const AttentionSizes s = attention_sizes(q, k, rule);
  auto scope = ex.scratch.scope();
  const View delta = ex.scratch.allocate("attention delta", {s.B, s.N, s.Tq});
  dispatch<float, bf16>("attention", q.dtype(), [&]<class T>() {
    const Backward<T> a = {head_rows<T>(dq),
                           head_rows<T>(dk),
                           head_rows<T>(dv),
                           head_rows<T>(do_),
                           head_rows<T>(q),
                           head_rows<T>(k),
                           head_rows<T>(v),
                           head_rows<T>(o),
                           row_numbers(lse),
                           row_numbers(delta),
                           s};
    if (q.size() > 0) {
      launch(ex, dq_kernel<T>, grid(s.Tq, s.N, s.B), kThreads, shared_bytes(3, 1, s.H), a);
    }
    if (k.size() > 0) {
      launch(ex, dkv_kernel<T>, grid(s.Tk, s.K, s.B), kThreads, shared_bytes(4, 2, s.H), a);
    }
  });
}

void attention_decode(const Exec& ex, View o, ConstView q, ConstView k_cache, ConstView v_cache,
                      ConstView visible, float scale) {
  const std::int64_t B = q.dim(0), N = q.dim(1), H = q.dim(2), S = k_cache.dim(1);
  mixspan::check(S < std::numeric_limits<std::int32_t>::max() && B <= 65535,
                 "attention decode: a cache of {} rows for {} sequences is too large", S, B);
  dispatch<float, bf16>("attention decode", q.dtype(), [&]<class T>() {
    const Decode<T> a = {o.data<T>(),
                         q.data<T>(),
                         o.stride(0),
                         o.stride(1),
                         q.stride(0),
                         q.stride(1),
                         head_rows<T>(k_cache),
                         head_rows<T>(v_cache),
                         visible.data<std::uint8_t>(),
                         static_cast<std::int32_t>(S),
                         static_cast<std::int32_t>(N / k_cache.dim(2)),
                         static_cast<std::int32_t>(H),
                         scale};
    launch(ex, decode_kernel<T>, grid(N, B, 1), kThreads, shared_bytes(2, 1, H), a);
  });
}

}  // namespace mixspan::cuda
