// The emulated copy engine and tensor cores notice what a GPU would let pass until one day it does
// not.
#include "kernels/cuda/attention_wgmma_ring.cuh"
#include "kernels/cuda/launch.cuh"
#include "tests/cuda/device_test.h"
#include "tests/emulation/sm90.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;
using namespace cuda;
using namespace cuda::wgmma_attention;
using emulation::Beside;

enum class Fault {
  none,
  no_wait_for_copies,
  no_wait_for_products,
  sums_touched,
  operand_changed,
  tile_filled_again,
  no_start,
  writes_hidden,
  no_wait_for_copies_out,
  wrong_stride,
  wrong_leading,
  too_few_bytes
};

struct FaultyShared {
  unsigned char x[BoxTile<128, 64>::kBytes], y[BoxTile<128, 64>::kBytes];
  Barrier full, again;
};

// y (64, 128) = x x^T x of a tile x (64, 128), x^T x rounded to bf16, with one thing wrong.
__global__ void faulty_kernel(Fault fault, const __grid_constant__ TensorMap x_map,
                              const __grid_constant__ TensorMap y_map) {
  using Tile = BoxTile<128, 64>;
  auto& shared = *dynamic_shared<FaultyShared>();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    barrier_init(&shared.full, 1);
    barrier_init(&shared.again, 1);
    publish_barriers();
    const int missing = fault == Fault::too_few_bytes ? 128 : 0;
    barrier_arrive_expecting(&shared.full, Tile::kBytes - missing);
    Tile::copy_in(shared.x, x_map, &shared.full, 0, 0, 0);
  }
  __syncthreads();
  if (fault != Fault::no_wait_for_copies) barrier_wait(&shared.full, 0);
  const SharedAddress x = shared_address(shared.x);
  const std::uint64_t rows =
      fault == Fault::wrong_stride ? matrix_at(x, 16, 512) : Tile::along_rows(x);
  const std::uint64_t across =
      fault == Fault::wrong_leading ? matrix_at(x, 4096, 1024) : Tile::across_rows(x);
  float scores[32], d[64];
  std::uint32_t weights[4][4];
  clear(d);
  if (fault != Fault::no_start) start_products();
  products<128, 64, 64>(scores, rows, rows);
  commit_products();
  if (fault != Fault::no_wait_for_products) wait_products<0>();
  to_operand(weights, scores);
  start_products();
  add_weighted<128>(d, weights, across);
  commit_products();
  if (fault == Fault::sums_touched) d[3] *= 2;
  if (fault == Fault::operand_changed) weights[0][0] = 0;
  if (fault == Fault::tile_filled_again && thread == 0) {
    barrier_arrive_expecting(&shared.again, Tile::kBytes);
    Tile::copy_in(shared.x, x_map, &shared.again, 64, 0, 0);
  }
  if (fault == Fault::tile_filled_again) barrier_wait(&shared.again, 0);
  wait_products<0>();
  if (fault == Fault::writes_hidden) {
    store_matrices(Tile::lane_row(shared_address(shared.y), 0, 0, thread % 32), weights[0]);
    __syncthreads();
    if (thread == 0) copy_box_out(y_map, shared.y, 0, 0, 0, 0);
  }
  const float ones[2] = {1, 1};
  copy_rows_out<128, 64>(shared.y, 0, 0, y_map, 0, 0, 0, d, ones);
  if (thread == 0 && fault != Fault::no_wait_for_copies_out) wait_copies_out_read();
}

class Sm90Emulation : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    emulation::unfinished_blocks();
    x_ = upload(as_dtype(DType::bf16, random_tensor({1, 128, 1, 128}, 1)));
    right_ = run(Fault::none, Beside::late);
  }
  void TearDown() override {
    emulation::unfinished_blocks();
    emulation::beside() = Beside::late;
    DeviceTest::TearDown();
  }

  Tensor run(Fault fault, Beside mode) {
    emulation::beside() = mode;
    Tensor y = poisoned({1, 64, 1, 128}, DType::bf16);
    launch(exec(), faulty_kernel, dim3(1), dim3(128), sizeof(FaultyShared), fault,
           head_rows_map(x_, 64), head_rows_map(y, 64));
    return as_dtype(DType::f32, download(y));
  }
  bool goes_wrong(Fault fault, Beside mode) {
    return !bits_differ(run(fault, mode), right_).empty();
  }
  std::string error_of(Fault fault, Beside mode) {
    try {
      run(fault, mode);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  Tensor x_, right_;
};

TEST_F(Sm90Emulation, WithoutAFaultNothingIsNoticed) {
  EXPECT_FALSE(goes_wrong(Fault::none, Beside::early));
  const ConstView y = right_;
  EXPECT_EQ(differs(y, y, kElementwise), "") << "not finite";
  EXPECT_EQ(emulation::unfinished_blocks(), 0);
}

TEST_F(Sm90Emulation, WhatIsNotWaitedForIsNotThere) {
  EXPECT_TRUE(goes_wrong(Fault::no_wait_for_copies, Beside::late));
  EXPECT_EQ(emulation::unfinished_blocks(), 1);
  EXPECT_TRUE(goes_wrong(Fault::no_wait_for_products, Beside::late));
  EXPECT_TRUE(goes_wrong(Fault::no_wait_for_copies_out, Beside::late));
  EXPECT_EQ(emulation::unfinished_blocks(), 1);
}

TEST_F(Sm90Emulation, WhatIsInUseMustNotBeChanged) {
  EXPECT_NE(error_of(Fault::sums_touched, Beside::late).find("touched"), std::string::npos);
  EXPECT_TRUE(goes_wrong(Fault::operand_changed, Beside::late));
  EXPECT_TRUE(goes_wrong(Fault::tile_filled_again, Beside::late));
}

TEST_F(Sm90Emulation, MissingFencesAreNamed) {
  for (const Beside mode : {Beside::late, Beside::early}) {
    EXPECT_NE(error_of(Fault::no_start, mode).find("start_products"), std::string::npos);
    EXPECT_NE(error_of(Fault::writes_hidden, mode).find("did not show"), std::string::npos);
  }
}

TEST_F(Sm90Emulation, AWrongDescriptorGivesWrongNumbers) {
  EXPECT_TRUE(goes_wrong(Fault::wrong_stride, Beside::late));
  EXPECT_TRUE(goes_wrong(Fault::wrong_leading, Beside::late));
}

TEST_F(Sm90Emulation, ABarrierThatIsToldTooFewBytesNeverOpens) {
  EXPECT_NE(error_of(Fault::too_few_bytes, Beside::late).find("mbarrier"), std::string::npos);
}

}  // namespace
}  // namespace mixspan
