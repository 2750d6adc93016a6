#include "kernels/cuda/argmax.h"

#include <limits>

#include "kernels/cross_entropy_parts.h"
#include "kernels/cuda/block_sums.cuh"
#include "kernels/cuda/rows.cuh"

namespace mixspan::cuda {

namespace {

constexpr int kMostThreads = 512;

struct Best {
  float value;
  int column;
};
// Of equal values the one of the lower column. A NaN never gets here.
struct Better {
  __device__ Best operator()(Best a, Best b) const {
    const bool take_b = b.value > a.value || (b.value == a.value && b.column < a.column);
    return take_b ? b : a;
  }
};

template <class T>
__global__ void __launch_bounds__(kMostThreads)
    argmax_row(std::int32_t* index, Rows<const T> x, int V, std::int32_t first, bool aligned) {
  __shared__ WarpSlots<Best> slots;
  const std::int64_t r = blockIdx.x;
  const int step = static_cast<int>(blockDim.x) * kPack<T>;
  // Columns of a thread come in rising order, so the first of its equals stays.
  Best best{-INFINITY, std::numeric_limits<int>::max()};
  for (int at = static_cast<int>(threadIdx.x) * kPack<T>; at < V; at += step) {
    float values[kPack<T>];
    read_run(values, x[r] + at, V - at, aligned);
#pragma unroll
    for (int i = 0; i < kPack<T>; ++i) {
      const bool is_number = at + i < V && !isnan(values[i]);
      if (is_number) best = Better{}(best, {values[i], at + i});
    }
  }
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    best = Better{}(best, {__shfl_xor_sync(kAllLanes, best.value, distance),
                           __shfl_xor_sync(kAllLanes, best.column, distance)});
  }
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = best;
  best = over_slots(slots, Better{});
  if (threadIdx.x == 0) index[r] = first + (best.column < V ? best.column : 0);
}

constexpr int kMarkThreads = 128;

__global__ void __launch_bounds__(kMarkThreads)
    mark_correct_rows(std::uint8_t* correct, const std::int32_t* likeliest, const float* parts,
                      int shards, const std::int32_t* targets, std::int64_t rows) {
  const std::int64_t r = std::int64_t{blockIdx.x} * kMarkThreads + threadIdx.x;
  if (r >= rows) return;
  const auto largest = [&](int s) { return parts[(s * rows + r) * kCrossEntropyPart]; };
  int best = 0;
  for (int s = 1; s < shards; ++s) {
    if (largest(s) > largest(best)) best = s;
  }
  correct[r] = likeliest[best * rows + r] == targets[r];
}

}  // namespace

void argmax_rows(const Exec& ex, View index, ConstView x, std::int64_t first) {
  const std::int64_t rows = x.dim(0), V = x.dim(1);
  dispatch<float, bf16>("argmax_rows", x.dtype(), [&]<class T>() {
    launch(ex, argmax_row<T>, blocks_for(rows, 1), threads_for(runs_of<T>(V), kMostThreads), 0,
           index.data<std::int32_t>(), rows_of<T>(x), to_int(V), to_int(first), rows_aligned(x));
  });
}

void mark_correct(const Exec& ex, View correct, ConstView likeliest, ConstView parts,
                  ConstView targets) {
  const std::int64_t rows = targets.dim(0);
  launch(ex, mark_correct_rows, blocks_for(rows, kMarkThreads), kMarkThreads, 0,
         correct.data<std::uint8_t>(), likeliest.data<std::int32_t>(),
         parts.empty() ? nullptr : parts.data<float>(), to_int(likeliest.dim(0)),
         targets.data<std::int32_t>(), rows);
}

}  // namespace mixspan::cuda
