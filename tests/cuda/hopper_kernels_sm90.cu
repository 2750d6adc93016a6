#include "tests/cuda/hopper_kernels.h"

#include "kernels/cuda/attention_wgmma_ring.cuh"
#include "kernels/cuda/launch.cuh"

namespace mixspan::test {

namespace {

using namespace mixspan::cuda;
using namespace mixspan::cuda::wgmma_attention;

template <int H, int N>
struct ProductsShared {
  unsigned char a[BoxTile<H, 128>::kBytes], b[BoxTile<H, N>::kBytes], w[BoxTile<N, 64>::kBytes];
  unsigned char out[BoxTile<H, 64>::kBytes];
  Ring<1> ring;
};

template <int M>
__device__ void write_fragment(float* to, int columns, const float (&d)[M]) {
  const int thread = threadIdx.x, row = thread / 32 * 16 + thread % 32 / 4;
  for (int i = 0; i < M; ++i) {
    to[(row + i / 2 % 2 * 8) * columns + i / 4 * 8 + thread % 4 * 2 + i % 2] = d[i];
  }
}

template <int H, int N>
__global__ __launch_bounds__(kWarpgroup, 1) void products_kernel(
    float* shared_product, float* kept_product, float* weighted_product,
    const __grid_constant__ TensorMap a_map, const __grid_constant__ TensorMap b_map,
    const __grid_constant__ TensorMap w_map, const __grid_constant__ TensorMap out_map,
    BoxPlace place) {
  auto& shared = *dynamic_shared<ProductsShared<H, N>>();
  const int thread = threadIdx.x, lane = thread % 32;
  if (thread == 0) {
    shared.ring.init(4);
    publish_barriers();
  }
  __syncthreads();
  Stage<1> stage;
  if (thread < 32 && elected_lane()) {
    constexpr int bytes = BoxTile<H, 128>::kBytes + BoxTile<H, N>::kBytes + BoxTile<N, 64>::kBytes;
    Barrier* const full = shared.ring.begin_fill(stage, bytes);
    // The rows before the place make the tile's first half, which is not multiplied.
    BoxTile<H, 128>::copy_in(shared.a, a_map, full, place.row - 64, place.head, place.sequence);
    BoxTile<H, N>::copy_in(shared.b, b_map, full, place.row, place.head, place.sequence);
    BoxTile<N, 64>::copy_in(shared.w, w_map, full, place.row, place.head, place.sequence);
  }
  __syncwarp();
  shared.ring.wait_full(stage);
  const SharedAddress a = shared_address(shared.a), b = shared_address(shared.b);
  std::uint32_t kept[H / 16][4], weights[N / 16][4];
  for (int k = 0; k < H / 16; ++k) {
    ldmatrix(kept[k], BoxTile<H, 128>::lane_row(a, 64 + thread / 32 * 16, k, lane));
  }
  for (int k = 0; k < N / 16; ++k) {
    ldmatrix(weights[k],
             BoxTile<N, 64>::lane_row(shared_address(shared.w), thread / 32 * 16, k, lane));
  }
  float x[N / 2], y[N / 2], z[H / 2];
  clear(z);
  pin(kept);
  pin(weights);
  pin(z);
  start_products();
  products<H, 128, N>(x, BoxTile<H, 128>::along_rows(a, 64), BoxTile<H, N>::along_rows(b));
  commit_products();
  products<H, N>(y, kept, BoxTile<H, N>::along_rows(b));
  add_weighted<H>(z, weights, BoxTile<H, N>::across_rows(b));
  commit_products();
  wait_products<1>();
  pin(x);
  write_fragment(shared_product, N, x);
  wait_products<0>();
  pin(y);
  pin(z);
  write_fragment(kept_product, N, y);
  write_fragment(weighted_product, H, z);
  const float twice[2] = {2.0f, 2.0f};
  copy_rows_out<H, 64>(shared.out, 0, 0, out_map, place.row, place.head, place.sequence, z, twice);
  if (thread == 0) wait_copies_out_read();
}

struct PhasesShared {
  float part[1024];
  Barrier full;
};
__global__ void phases_kernel(float* y, const float* x, int quarter) {
  auto& shared = *dynamic_shared<PhasesShared>();
  if (threadIdx.x == 0) {
    barrier_init(&shared.full, 1);
    publish_barriers();
  }
  __syncthreads();
  for (int phase = 0; phase < 4; ++phase) {
    if (threadIdx.x == 0) {
      const int bytes = quarter * static_cast<int>(sizeof(float));
      barrier_arrive_expecting(&shared.full, bytes);
      copy_bytes_in(shared.part, x + phase * quarter, bytes, &shared.full);
    }
    barrier_wait(&shared.full, static_cast<unsigned>(phase % 2));
    for (int i = static_cast<int>(threadIdx.x); i < quarter; i += static_cast<int>(blockDim.x)) {
      y[phase * quarter + i] = shared.part[i];
    }
    __syncthreads();
  }
}

template <int H, int N>
void launch_products(const Exec& ex, View shared, View kept, View weighted, View out, ConstView a,
                     ConstView b, ConstView w, BoxPlace place) {
  launch(ex, products_kernel<H, N>, dim3(1), dim3(kWarpgroup), sizeof(ProductsShared<H, N>),
         shared.data<float>(), kept.data<float>(), weighted.data<float>(), head_rows_map(a, 128),
         head_rows_map(b, N), head_rows_map(w, 64), head_rows_map(out, 64), place);
}

}  // namespace

void try_products(const Exec& ex, View shared, View kept, View weighted, View out, ConstView a,
                  ConstView b, ConstView w, BoxPlace place) {
  const bool wide = a.dim(3) == 128, many = w.dim(3) == 128;
  const auto start = wide ? (many ? launch_products<128, 128> : launch_products<128, 64>)
                          : (many ? launch_products<64, 128> : launch_products<64, 64>);
  start(ex, shared, kept, weighted, out, a, b, w, place);
}

void try_phases(const Exec& ex, View y, ConstView x) {
  launch(ex, phases_kernel, dim3(1), dim3(64), sizeof(PhasesShared), y.data<float>(),
         x.data<float>(), to_int(x.size() / 4));
}

}  // namespace mixspan::test
