#include "core/device.h"

#include <gtest/gtest.h>

#include "core/copy.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

const Device kCuda{DeviceKind::cuda, 0};

// ---- what this program is linked with: never the emulated devices
// --------------------------------

TEST(Device, WhereThereIsNoneAUserIsToldWhy) {
  if (device_count() > 0) GTEST_SKIP() << "there is one";
  const std::string why = why_no_device();
  EXPECT_NE(why, "");
  const std::string text = refusal([] { require_device(kCuda); });
  EXPECT_NE(text.find("cuda:0 cannot be used: " + why), std::string::npos) << text;
  EXPECT_NE(text.find("device=cpu works"), std::string::npos) << text;
  EXPECT_THROW(DeviceBuffer(kCuda, 16, "a test"), Error);
  EXPECT_THROW(Tensor({2}, DType::f32, kCuda), Error);
  EXPECT_THROW(OwnedStream{kCuda}, Error);
  EXPECT_THROW(describe(kCuda), Error);
}

TEST(Device, TheCpuIsAlwaysThere) {
  EXPECT_NO_THROW(require_device({}));
  EXPECT_NO_THROW(use_device({}));
  EXPECT_EQ(Device{}.str(), "cpu");
  EXPECT_EQ(kCuda.str(), "cuda:0");
  EXPECT_EQ(Tensor({2}).device(), Device{});
}

// ---- copies on the host -------------------------------------------------------------------------

TEST(Copy, TakesRowsThatLieApart) {
  TestExec test;
  const Tensor from = random_tensor({2, 3, 8}, 1);
  Tensor part({2, 3, 2}), back({2, 3, 8});
  copy(test, part, from.view().slice(2, 4, 6));
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(part.data<float>()[2 * i], from.data<float>()[8 * i + 4]);
    EXPECT_EQ(part.data<float>()[2 * i + 1], from.data<float>()[8 * i + 5]);
  }
  copy(test, back, from);
  EXPECT_EQ(bits_differ(back, from), "");
  copy(test, back.view().slice(2, 0, 2), from.view().slice(2, 6, 8));
  EXPECT_EQ(back.data<float>()[9], from.data<float>()[15]);
  EXPECT_EQ(back.data<float>()[10], from.data<float>()[10]);
}

TEST(Copy, RefusesWhatDoesNotFit) {
  TestExec test;
  const Tensor from({2, 3, 8});
  Tensor other({2, 3, 8}, DType::i32), part({2, 2, 2});
  EXPECT_THROW(copy(test, other, from), Error);
  EXPECT_THROW(copy(test, part, from), Error);
  // Every second pair of rows: no fixed pitch.
  EXPECT_THROW(copy(test, part, from.view().slice(1, 0, 2).slice(2, 0, 2)), Error);
}

// ---- the arena on the host ----------------------------------------------------------------------

TEST(HostArena, SaysWhatItHoldsWhenItIsFull) {
  Arena arena("a step", std::size_t{1} << 20);
  arena.allocate("hidden", {1 << 18}, DType::u8);
  arena.allocate("logits", {1 << 19}, DType::u8);
  try {
    arena.allocate("more", {1 << 19}, DType::u8);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "arena 'a step': 524288 bytes for 'more' do not fit; 786432 of 1048576 bytes are "
                 "in use: logits 524288, hidden 262144");
  }
}

}  // namespace
}  // namespace mixspan::test
