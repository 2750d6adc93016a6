#include "kernels/cuda/layer_norm.h"

#include "kernels/cuda/block_sums.cuh"
#include "kernels/cuda/held_row.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kMostThreads = 512;

// ---- forward: a block for each row --------------------------------------------------------------

template <class T>
struct Forward {
  Rows<T> y;
  float *mean, *rstd;
  Rows<const T> x;
  const T *gain, *bias;
  int C;
  float eps;
  bool aligned;
};

template <class T, int kRuns>
__global__ void __launch_bounds__(kMostThreads, 2) forward_row(Forward<T> a) {
  __shared__ WarpSlots<float> sums, squares;
  const std::int64_t r = blockIdx.x;
  const HeldRow<T, kRuns> row(a.x[r], a.C, a.aligned);
  const auto count = static_cast<float>(a.C);
  float sum = 0;
  for_own_runs<T, kRuns>(a.C, [&](int k, int at) {
    float x[kPack<T>];
    row.get(x, k, at);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) sum += x[i];
  });
  const float mean = over_block(sum, sums, Add{}) / count;
  float square = 0;
  for_own_runs<T, kRuns>(a.C, [&](int k, int at) {
    float x[kPack<T>];
    row.get(x, k, at);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) {
      const float d = at + i < a.C ? x[i] - mean : 0.0f;
      square = fmaf(d, d, square);
    }
  });
  const float rstd = 1.0f / sqrtf(over_block(square, squares, Add{}) / count + a.eps);
  for_own_runs<T, kRuns>(a.C, [&](int k, int at) {
    float x[kPack<T>], gain[kPack<T>], bias[kPack<T>];
    row.get(x, k, at);
    read_run(gain, a.gain + at, a.C - at, a.aligned);
    read_run(bias, a.bias + at, a.C - at, a.aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) x[i] = (x[i] - mean) * rstd * gain[i] + bias[i];
    write_run(a.y[r] + at, a.C - at, a.aligned, x);
  });
  if (threadIdx.x == 0) {
    a.mean[r] = mean;
    a.rstd[r] = rstd;
  }
}

// ---- backward: block b has the rows b, b + blocks, ... and sums its share of dgain and dbias ----

// A number that depends on no device, so that the sums do not either: two blocks for each of the
// 132 multiprocessors of an H100.
constexpr std::int64_t kMostBlocks = 264;

template <class T>
struct Backward {
  Rows<T> dx;
  float* partial;  // (blocks, 2, part): the block's dgain and dbias, C of each
  Rows<const T> dy, x;
  const T* gain;
  const float *mean, *rstd;
  std::int64_t rows;
  int C, part;
  bool add, aligned;
};

// What a row's elements share: sums over it of gain dy and of gain dy normal.
struct RowSums {
  float up, up_normal;
};

__device__ inline RowSums over_row(RowSums x, WarpSlots<RowSums>& slots) {
  x = {warp_sum(x.up), warp_sum(x.up_normal)};
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = x;
  return over_slots(slots, [](RowSums a, RowSums b) {
    return RowSums{a.up + b.up, a.up_normal + b.up_normal};
  });
}

template <class T>
__device__ inline float* partial_of(const Backward<T>& a) {
  return a.partial + std::int64_t{blockIdx.x} * 2 * a.part;
}

// A thread's sums over its block's rows, for the elements it owns: in registers, or for rows of any
// length in the block's part of Backward::partial, which the first row overwrites.
template <class T, int kRuns>
class ColumnSums {
 public:
  __device__ explicit ColumnSums(const Backward<T>& a) : a_(a) {}
  __device__ void add(int k, int /*at*/, int i, float to_gain, float to_bias, bool /*first*/) {
    gain_[k][i] += to_gain;
    bias_[k][i] += to_bias;
  }
  __device__ void write() const {
    float* const partial = partial_of(a_);
    for_own_runs<T, kRuns>(a_.C, [&](int k, int at) {
      write_floats(partial + at, a_.C - at, gain_[k]);
      write_floats(partial + a_.part + at, a_.C - at, bias_[k]);
    });
  }

 private:
  // As many floats as a run of T has elements.
  __device__ static void write_floats(float* p, int left, const float (&x)[kPack<T>]) {
    if (left >= kPack<T>) return store_floats(p, x);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) {
      if (i < left) p[i] = x[i];
    }
  }
  const Backward<T>& a_;
  float gain_[kRuns][kPack<T>]{}, bias_[kRuns][kPack<T>]{};
};

template <class T>
class ColumnSums<T, 0> {
 public:
  __device__ explicit ColumnSums(const Backward<T>& a) : a_(a) {}
  __device__ void add(int /*k*/, int at, int i, float to_gain, float to_bias, bool first) {
    if (at + i >= a_.C) return;
    float *gain = partial_of(a_) + at + i, *bias = gain + a_.part;
    *gain = first ? to_gain : *gain + to_gain;
    *bias = first ? to_bias : *bias + to_bias;
  }
  __device__ void write() const {}

 private:
  const Backward<T>& a_;
};

template <class T, int kRuns>
__global__ void __launch_bounds__(kMostThreads) backward_rows(Backward<T> a) {
  // Of even and of odd rows: a fast warp may be a row ahead.
  __shared__ WarpSlots<RowSums> slots[2];
  using Row = HeldRow<T, kRuns>;
  const Row gains(a.gain, a.C, a.aligned);
  ColumnSums<T, kRuns> columns(a);
  const float per_element = 1.0f / static_cast<float>(a.C);
  std::int64_t r = blockIdx.x;
  Row next_x(a.x[r], a.C, a.aligned), next_dy(a.dy[r], a.C, a.aligned);
  for (int n = 0; r < a.rows; ++n) {
    const Row x_row = next_x, dy_row = next_dy;
    const std::int64_t next = r + gridDim.x;
    if (next < a.rows) {  // on its way while this row is summed
      next_x = Row(a.x[next], a.C, a.aligned);
      next_dy = Row(a.dy[next], a.C, a.aligned);
    }
    const float mean = a.mean[r], rstd = a.rstd[r];
    RowSums own{};
    for_own_runs<T, kRuns>(a.C, [&](int k, int at) {
      float x[kPack<T>], dy[kPack<T>], gain[kPack<T>];
      x_row.get(x, k, at);
      dy_row.get(dy, k, at);
      gains.get(gain, k, at);
#pragma unroll
      for (int i = 0; i < kPack<T>; ++i) {  // past the end dy and gain are 0
        const float up = dy[i] * gain[i], normal = (x[i] - mean) * rstd;
        own.up += up;
        own.up_normal = fmaf(up, normal, own.up_normal);
        columns.add(k, at, i, dy[i] * normal, dy[i], n == 0);
      }
    });
    const RowSums sums = over_row(own, slots[n % 2]);
    const float mean_up = sums.up * per_element, mean_up_normal = sums.up_normal * per_element;
    for_own_runs<T, kRuns>(a.C, [&](int k, int at) {
      float x[kPack<T>], dy[kPack<T>], gain[kPack<T>], dx[kPack<T>] = {};
      x_row.get(x, k, at);
      dy_row.get(dy, k, at);
      gains.get(gain, k, at);
      T* const to = a.dx[r] + at;
      if (a.add) read_run(dx, to, a.C - at, a.aligned);
#pragma unroll
      for (int i = 0; i < kPack<T>; ++i) {
        const float normal = (x[i] - mean) * rstd;
        dx[i] += rstd * (dy[i] * gain[i] - mean_up - normal * mean_up_normal);
      }
      write_run(to, a.C - at, a.aligned, dx);
    });
    r = next;
  }
  columns.write();
}

// Adds each of the 2 part columns of partial to dgain or dbias. A block has 32 of them; group g
// sums the rows g, g + kGroups, ..., then the groups' sums are added in order.
constexpr int kGroups = 16;

__global__ void __launch_bounds__(kGroups* kWarp)
    add_partials(float* dgain, float* dbias, const float* partial, int blocks, int C, int part) {
  __shared__ float sums[kGroups][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = static_cast<int>(threadIdx.x) / kWarp;
  const std::int64_t columns = 2 * std::int64_t{part};
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarp + lane;
  const std::int64_t c = column < part ? column : column - part;  // of the row
  float sum = 0;
  if (c < C) {
#pragma unroll 8
    for (int b = group; b < blocks; b += kGroups) sum += partial[b * columns + column];
  }
  sums[group][lane] = sum;
  __syncthreads();
  if (group != 0 || c >= C) return;
  for (int g = 1; g < kGroups; ++g) sum += sums[g][lane];
  (column < part ? dgain : dbias)[c] += sum;
}

// Calls body.operator()<kRuns>(threads) with the first of `Choices` whose runs of a thread make a
// block hold the row, or with 0.
template <int... kChoices, class Body>
void with_runs(int runs, const int (&most_threads)[sizeof...(kChoices)], Body body) {
  int i = 0;
  const bool found = ((runs <= kChoices * most_threads[i++] &&
                       (body.template operator()<kChoices>(
                            threads_for((runs + kChoices - 1) / kChoices, kMostThreads)),
                        true)) ||
                      ...);
  if (!found) body.template operator()<0>(kMostThreads);
}

}  // namespace

void layer_norm_forward(const Exec& ex, View y, View mean, View rstd, ConstView x, ConstView gain,
                        ConstView bias, float eps) {
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  if (rows == 0 || C == 0) return;
  dispatch<float, bf16>("layer_norm_forward", x.dtype(), [&]<class T>() {
    const Forward<T> arguments{.y = rows_of<T>(y),
                               .mean = mean.data<float>(),
                               .rstd = rstd.data<float>(),
                               .x = rows_of<T>(x),
                               .gain = gain.data<T>(),
                               .bias = bias.data<T>(),
                               .C = to_int(C),
                               .eps = eps,
                               .aligned = rows_aligned(y, x, gain, bias)};
    with_runs<1, 2, 4>(runs_of<T>(C), {128, 256, 512}, [&]<int kRuns>(int threads) {
      launch(ex, forward_row<T, kRuns>, blocks_for(rows, 1), threads, 0, arguments);
    });
  });
}

void layer_norm_backward(const Exec& ex, View dx, View dgain, View dbias, ConstView dy, ConstView x,
                         ConstView gain, ConstView mean, ConstView rstd, DxMode mode) {
  const std::int64_t rows = x.dim(0), C = x.dim(1);
  if (rows == 0 || C == 0) return;
  const Arena::Scope scope = ex.scratch.scope();
  const std::int64_t blocks = std::min(rows, kMostBlocks);
  const std::int64_t part = (C + kPack<float> - 1) / kPack<float> * kPack<float>;
  const View partial = ex.scratch.allocate("layer_norm_backward", {blocks, 2, part});
  dispatch<float, bf16>("layer_norm_backward", x.dtype(), [&]<class T>() {
    const Backward<T> arguments{.dx = rows_of<T>(dx),
                                .partial = partial.data<float>(),
                                .dy = rows_of<T>(dy),
                                .x = rows_of<T>(x),
                                .gain = gain.data<T>(),
                                .mean = mean.data<float>(),
                                .rstd = rstd.data<float>(),
                                .rows = rows,
                                .C = to_int(C),
                                .part = to_int(part),
                                .add = mode == DxMode::add,
                                .aligned = rows_aligned(dx, dy, x, gain)};
    with_runs<1, 2>(runs_of<T>(C), {256, 512}, [&]<int kRuns>(int threads) {
      launch(ex, backward_rows<T, kRuns>, blocks_for(blocks, 1), threads, 0, arguments);
    });
  });
  launch(ex, add_partials, blocks_for(2 * part, kWarp), kGroups * kWarp, 0, dgain.data<float>(),
         dbias.data<float>(), partial.data<float>(), to_int(blocks), to_int(C), to_int(part));
}

}  // namespace mixspan::cuda
