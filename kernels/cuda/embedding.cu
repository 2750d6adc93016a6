#include "kernels/cuda/embedding.h"

#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sort_rows.h"

namespace mixspan::cuda {

namespace {

constexpr int kMostThreads = 256;

// ---- forward: a block for each row --------------------------------------------------------------

template <class T>
struct Lookup {
  Rows<T> x;
  const std::int32_t *tokens, *positions;
  Rows<const T> wte, wpe;  // wpe.data may be null
  std::int64_t begin, held, vocab, P;
  int C;
  bool aligned;
};

template <class T>
__global__ void __launch_bounds__(kMostThreads) look_up_row(Lookup<T> a) {
  const std::int64_t r = blockIdx.x;
  const std::int64_t token = a.tokens[r], row = token - a.begin;
  const bool held = row >= 0 && row < a.held, has_position = a.wpe.data != nullptr;
  const std::int64_t position = has_position ? a.positions[r] : 0;
  const bool good =
      token >= 0 && token < a.vocab && (!has_position || (position >= 0 && position < a.P));
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < a.C; at += step) {
    float x[kPack<T>] = {}, add[kPack<T>] = {};
    if (held && good) read_run(x, a.wte[row] + at, a.C - at, a.aligned);
    if (has_position && good) read_run(add, a.wpe[position] + at, a.C - at, a.aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) x[i] = good ? x[i] + add[i] : NAN;
    write_run(a.x[r] + at, a.C - at, a.aligned, x);
  }
}

// ---- backward: rows sorted by their index in the table; a warp sums a piece of those that share
// -- one. Pieces are of kPiece rows from the first of their index on, so a sum depends on no other
// row.

constexpr int kPiece = 64, kWarps = 8, kThreads = kWarps * kWarp;

template <class T>
struct Scatter {
  float* table;
  std::int64_t table_stride, held;
  Rows<const T> dx;
  const std::int32_t *keys, *rows;  // sorted
  std::int64_t n;
  float* partial;  // (2 for each kPiece of n, C)
  int C;
  bool dx_aligned, table_aligned;
};

// The first place of keys[i] in keys.
__device__ inline std::int64_t first_like(const std::int32_t* keys, std::int64_t i) {
  std::int64_t low = 0, high = i;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (keys[middle] < keys[i]) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// A run of kPack<T> floats of a row of C that is added to or overwritten.
template <class T>
__device__ inline void put_floats(float* p, int left, bool aligned, bool add,
                                  const float (&x)[kPack<T>]) {
  float y[kPack<T>] = {};
  const bool whole = aligned && left >= kPack<T>;
  if (add && whole) load_floats(y, p);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    if (add && !whole && i < left) y[i] = p[i];
    y[i] += x[i];
    if (!whole && i < left) p[i] = y[i];
  }
  if (whole) store_floats(p, y);
}

// Where the sum of the piece that begins at place i is kept while its index has others. Of the
// places [64 w, 64 w + 64) at most one begins a later piece of an index, since pieces of one index
// lie 64 apart and two indices that both begin in there cannot both go on beyond; for the same
// reason at most one begins the first piece of an index that has several.
template <class T>
__device__ inline float* partial_of(const Scatter<T>& a, std::int64_t i, bool first) {
  return a.partial + (i / kPiece * 2 + (first ? 0 : 1)) * a.C;
}

// Warp w of the grid has the piece that begins at place w, if one does; blockIdx.y is its 32 runs
// of the row. The sum of an index's only piece goes to the table at once.
template <class T>
__global__ void __launch_bounds__(kThreads) sum_pieces(Scatter<T> a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t i = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (i >= a.n) return;
  const std::int32_t key = a.keys[i];
  if (key >= a.held) return;
  const bool first = i == 0 || a.keys[i - 1] != key;
  if (!first) {
    const bool later_piece =
        i >= kPiece && a.keys[i - kPiece] == key && (i - first_like(a.keys, i)) % kPiece == 0;
    if (!later_piece) return;
  }
  // Each lane looks at its share of the piece's places.
  int length = 0;
  std::int32_t rows[kPiece / kWarp];
#pragma unroll
  for (int part = 0; part < kPiece / kWarp; ++part) {
    const std::int64_t j = i + part * kWarp + lane;
    const bool ours = j < a.n && a.keys[j] == key;
    rows[part] = ours ? a.rows[j] : 0;
    length += ours ? 1 : 0;
  }
  length = warp_sum(length);
  const int at = (static_cast<int>(blockIdx.y) * kWarp + lane) * kPack<T>;
  float sum[kPack<T>] = {};
#pragma unroll
  for (int part = 0; part < kPiece / kWarp; ++part) {
    const int here = min(kWarp, length - part * kWarp);
#pragma unroll 4
    for (int j = 0; j < here; ++j) {
      const std::int32_t row = __shfl_sync(kAllLanes, rows[part], j);
      if (at >= a.C) continue;
      float x[kPack<T>];
      read_run(x, a.dx[row] + at, a.C - at, a.dx_aligned);
#pragma unroll
      for (int e = 0; e < kPack<T>; ++e) sum[e] += x[e];
    }
  }
  if (at >= a.C) return;
  const bool goes_on = i + kPiece < a.n && a.keys[i + kPiece] == key;
  if (first && !goes_on) {
    put_floats<T>(a.table + key * a.table_stride + at, a.C - at, a.table_aligned, true, sum);
  } else {
    put_floats<T>(partial_of(a, i, first) + at, a.C - at, a.table_aligned, false, sum);
  }
}

// Warp w of the grid looks among the places [64 w, 64 w + 64) for the one that begins an index with
// several pieces, and adds their sums, in order, to the table.
template <class T>
__global__ void __launch_bounds__(kThreads) join_pieces(Scatter<T> a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t window = (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp) * kPiece;
  int found = -1;  // the place in the window
  for (int offset = lane; offset < kPiece; offset += kWarp) {
    const std::int64_t i = window + offset;
    if (i + kPiece < a.n && (i == 0 || a.keys[i - 1] != a.keys[i]) &&
        a.keys[i + kPiece] == a.keys[i] && a.keys[i] < a.held) {
      found = offset;
    }
  }
  found = warp_reduce(found, [](int x, int y) { return x > y ? x : y; });
  const int at = (static_cast<int>(blockIdx.y) * kWarp + lane) * kPack<T>;
  if (found < 0 || at >= a.C) return;
  std::int64_t i = window + found;
  const std::int32_t key = a.keys[i];
  float sum[kPack<T>] = {};
  for (bool first = true; i < a.n && a.keys[i] == key; i += kPiece, first = false) {
    const float* const part = partial_of(a, i, first) + at;
#pragma unroll
    for (int e = 0; e < kPack<T>; ++e) {
      if (at + e < a.C) sum[e] += part[e];
    }
  }
  put_floats<T>(a.table + key * a.table_stride + at, a.C - at, a.table_aligned, true, sum);
}

// table[index - begin] += dx for the rows whose index the table holds.
void scatter_add(const Exec& ex, const View& table, const ConstView& dx, const ConstView& indices,
                 std::int64_t begin) {
  const std::int64_t n = dx.dim(0), C = dx.dim(1), held = table.dim(0);
  if (n == 0 || C == 0 || held == 0) return;
  const Arena::Scope scope = ex.scratch.scope();
  const SortedRows sorted = sort_rows(ex, indices, begin, held);
  const std::int64_t windows = (n + kPiece - 1) / kPiece;
  const View partial = ex.scratch.allocate("embedding_backward", {2 * windows, C});
  dispatch<float, bf16>("embedding_backward", dx.dtype(), [&]<class T>() {
    const Scatter<T> a{.table = table.data<float>(),
                       .table_stride = table.stride(0),
                       .held = held,
                       .dx = rows_of<T>(dx),
                       .keys = sorted.keys.data<std::int32_t>(),
                       .rows = sorted.rows.data<std::int32_t>(),
                       .n = n,
                       .partial = partial.data<float>(),
                       .C = to_int(C),
                       .dx_aligned = rows_aligned(dx),
                       .table_aligned = rows_aligned(table, partial)};
    const unsigned across = blocks_for(runs_of<T>(C), kWarp);
    launch(ex, sum_pieces<T>, dim3(blocks_for(n, kWarps), across), kThreads, 0, a);
    launch(ex, join_pieces<T>, dim3(blocks_for(windows, kWarps), across), kThreads, 0, a);
  });
}

}  // namespace

void embedding_forward(const Exec& ex, View x, ConstView tokens, ConstView positions, ConstView wte,
                       ConstView wpe, VocabShard shard) {
  const std::int64_t rows = x.dim(0), C = x.dim(1), held = wte.dim(0);
  dispatch<float, bf16>("embedding_forward", x.dtype(), [&]<class T>() {
    const bool has_wpe = !wpe.empty();
    const Lookup<T> a{.x = rows_of<T>(x),
                      .tokens = tokens.data<std::int32_t>(),
                      .positions = has_wpe ? positions.data<std::int32_t>() : nullptr,
                      .wte = rows_of<T>(wte),
                      .wpe = has_wpe ? rows_of<T>(wpe) : Rows<const T>{},
                      .begin = shard.begin,
                      .held = held,
                      .vocab = shard.vocab(held),
                      .P = has_wpe ? wpe.dim(0) : 0,
                      .C = to_int(C),
                      .aligned = rows_aligned(x, wte) && (!has_wpe || rows_aligned(wpe))};
    launch(ex, look_up_row<T>, blocks_for(rows, 1), threads_for(runs_of<T>(C), kMostThreads), 0, a);
  });
}

void embedding_backward(const Exec& ex, View dwte, View dwpe, ConstView dx, ConstView tokens,
                        ConstView positions, VocabShard shard) {
  scatter_add(ex, dwte, dx, tokens, shard.begin);
  if (!dwpe.empty()) scatter_add(ex, dwpe, dx, positions, 0);
}

}  // namespace mixspan::cuda
