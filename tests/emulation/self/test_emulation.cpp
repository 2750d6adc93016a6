#include "tests/emulation/emulation.h"

#include <cmath>
#include <cstring>

#include "tests/cuda/device_test.h"
#include "tests/emulation/self/faulty_kernels.h"

namespace mixspan::test {
namespace {

class Emulation : public DeviceTest {
 protected:
  std::vector<std::int32_t> numbers(const View& v) const {
    const Tensor host = download(v);
    return {host.data<std::int32_t>(), host.data<std::int32_t>() + host.size()};
  }
  /// What is said to be wrong.
  template <class F>
  static std::string thrown(F run) {
    try {
      run();
    } catch (const Error& e) {
      return e.what();
    }
    return "(nothing was thrown)";
  }
  std::string fault(Fault f) const {
    return thrown([&] { run_faulty(exec(), f); });
  }
};

void expect_says(const std::string& text, const std::string& wanted) {
  EXPECT_NE(text.find(wanted), std::string::npos) << text;
}

// ---- barriers -----------------------------------------------------------------------------------

TEST_F(Emulation, AMissingBarrierShowsAsAWrongResultInSomeOrder) {
  for (const bool forget : {false, true}) {
    int wrong = 0;
    in_every_order([&] {
      Tensor out = poisoned({64}, DType::i32);
      neighbours(exec(), out, forget);
      const auto got = numbers(out);
      for (int t = 0; t < 64; ++t) wrong += got[static_cast<std::size_t>(t)] != (t + 33) % 64;
    });
    EXPECT_EQ(wrong > 0, forget);
  }
}

TEST_F(Emulation, ADeadlockSaysWhoWaitsWhere) {
  const std::string text = fault(Fault::one_thread_skips_barrier);
  expect_says(text, "no thread of the block can go on");
  expect_says(text, "faulty_kernel");
  expect_says(text, "block (0, 0, 0)");
  expect_says(text, "31 threads (0 to 31) wait in __syncwarp at ");
  expect_says(text, "33 threads (5 to 63) wait in bar.sync at ");
  expect_says(text, "self/faulty_kernels.cu:");
}

TEST_F(Emulation, WhatThreadsDoNotDoTogetherIsRefused) {
  EXPECT_EQ(fault(Fault::none), "(nothing was thrown)");
  expect_says(fault(Fault::barrier_in_two_branches), "comes to __syncthreads at ");
  expect_says(fault(Fault::lanes_do_different_things), "thread 16 comes to __shfl_xor_sync at ");
  expect_says(fault(Fault::lane_outside_its_mask), "lane 16 calls it with the mask 0xffff");
  expect_says(fault(Fault::comes_twice), "thread 0 comes twice in one phase");
  expect_says(fault(Fault::flag_never_set), "3 threads (0 to 2) wait in the flag at ");
  expect_says(fault(Fault::failed_check), "thread 40 does not like it");
  EXPECT_EQ(fault(Fault::none), "(nothing was thrown)");  // nothing is left behind
}

TEST_F(Emulation, NamedBarriersHandOver) {
  in_every_order([&] {
    Tensor out = poisoned({64}, DType::i32);
    hand_over(exec(), out, 5);
    const auto got = numbers(out);
    for (int l = 0; l < 32; ++l) {
      EXPECT_EQ(got[static_cast<std::size_t>(32 + l)], 1500 + 5 * (31 - l));
    }
  });
}

TEST_F(Emulation, ThreadsThatHaveEndedAreNotWaitedFor) {
  in_every_order([&] {
    Tensor out = poisoned({32}, DType::i32);
    sum_of_the_rest(exec(), out, 30);
    const auto got = numbers(out);
    EXPECT_EQ(got[0], -1);
    EXPECT_EQ(got[31], 30 + 31);
  });
}

TEST_F(Emulation, VotesAndShuffles) {
  in_every_order([&] {
    Tensor out = poisoned({64}, DType::i32);
    votes_and_shuffles(exec(), out);
    EXPECT_EQ(numbers(out), std::vector<std::int32_t>(64, 1));
  });
}

TEST_F(Emulation, BlocksRunInTheOrderAskedFor) {
  Tensor counter({1}, DType::i32, device());
  Tensor out = poisoned({3}, DType::i32);
  emulation::settings().blocks = emulation::Order::backward;
  take_tickets(exec(), out, counter);
  emulation::settings().blocks = emulation::Order::forward;
  EXPECT_EQ(numbers(out), (std::vector<std::int32_t>{2, 1, 0}));
}

TEST_F(Emulation, BlocksInFlightTogetherWaitForEachOther) {
  const emulation::Settings before = emulation::settings();
  const auto flags = [&](int at_once, bool for_ever) {
    emulation::settings().blocks_at_once = at_once;
    Tensor flag({1}, DType::i32, device());
    fill_zero(exec(), flag);
    Tensor out = poisoned({5}, DType::i32);
    pass_a_flag(exec(), out, flag, for_ever);
    return numbers(out);
  };
  in_every_order([&] {
    EXPECT_EQ(flags(5, false), (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
    // The blocks that wait fill the device, or nobody sets the flag.
    expect_says(thrown([&] { flags(5, true); }), "waits in a flag at ");
    if (emulation::settings().blocks == emulation::Order::backward) {
      expect_says(thrown([&] { flags(3, false); }), "waits in a flag at ");
    }
  });
  emulation::settings() = before;
}

// ---- memory -------------------------------------------------------------------------------------

TEST_F(Emulation, UnwrittenSharedMemoryIsNaNInEveryLaunch) {
  for (int launch = 0; launch < 2; ++launch) {
    Tensor out({32}, DType::f32, device());
    read_unwritten(exec(), out);
    const Tensor got = download(out);
    for (int i = 0; i < 32; ++i) EXPECT_TRUE(std::isnan(got.data<float>()[i])) << i;
  }
}

using EmulationDeathTest = Emulation;

TEST_F(EmulationDeathTest, TheHostCannotTouchDeviceMemory) {
  Tensor t({10}, DType::f32, device());
  EXPECT_DEATH(t.data<float>()[3] = 1, "code of the host touched device memory: byte 12 of an all");
  const float* freed = nullptr;
  { freed = Tensor({10}, DType::f32, device()).data<float>(); }
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*freed)), "not allocated, or no longer");
}

TEST_F(EmulationDeathTest, AKernelCannotLeaveDeviceMemory) {
  Tensor t({64}, DType::f32, device());
  EXPECT_DEATH(write_device(exec(), t, 256), "a kernel touched device memory: byte 256 of");
}

TEST_F(EmulationDeathTest, AKernelThatWritesJustBesideItsMemoryIsNoticed) {
  EXPECT_DEATH(
      {
        Tensor t({10}, DType::f32, device());
        write_device(exec(), t, 40);
        try {
          synchronise(exec().stream);
        } catch (const Error& e) {
          std::fprintf(stderr, "%s", e.what());
          std::abort();
        }
      },
      "wrote beside an allocation of 40 bytes");
}

TEST_F(EmulationDeathTest, SharedMemoryHasBounds) {
  EXPECT_NO_THROW(write_shared(exec(), 100, 99));
  for (const std::int64_t at : {std::int64_t{-1}, std::int64_t{100}}) {
    try {
      write_shared(exec(), 100, at);
      FAIL() << "byte " << at;
    } catch (const Error& e) {
      expect_says(e.what(), fmt::format("byte {} of 100 bytes of dynamic", at));
    }
  }
  EXPECT_DEATH(write_shared(exec(), 1024, 1024), "");
  EXPECT_NO_THROW(write_static_shared(exec(), 31));
  EXPECT_DEATH(write_static_shared(exec(), 32), "out of bounds");
}

TEST_F(Emulation, PinnedMemoryIsWrongUntilTheHostHasWaited) {
  const Tensor zeros({4}, DType::f32, device());
  const PinnedBuffer pinned(16, "a test");
  const auto* x = static_cast<const float*>(pinned.data());
  copy_bytes(exec().stream, pinned.data(), zeros.view().raw(), 16);
  EXPECT_TRUE(std::isnan(x[3]));
  const OwnedStream other(device());
  synchronise(other);
  EXPECT_TRUE(std::isnan(x[3]));
  synchronise(exec().stream);
  EXPECT_EQ(x[3], 0.0f);
}

TEST_F(Emulation, PinnedMemoryMustNotChangeOnItsWayToTheDevice) {
  Tensor there({4}, DType::f32, device());
  const PinnedBuffer pinned(16, "a test");
  std::memset(pinned.data(), 0, 16);
  copy_bytes(exec().stream, there.view().raw(), pinned.data(), 16);
  static_cast<float*>(pinned.data())[0] = 1;
  EXPECT_THROW(synchronise(exec().stream), Error);
  copy_bytes(exec().stream, there.view().raw(), pinned.data(), 16);
  EXPECT_NO_THROW(synchronise(exec().stream));
  static_cast<float*>(pinned.data())[0] = 2;
}

TEST_F(Emulation, CopiesBeyondAnAllocationAreRefused) {
  const Tensor there({4}, DType::f32, device());
  float host[8] = {};
  EXPECT_THROW(copy_bytes(exec().stream, host, there.view().raw(), 20), Error);
}

TEST_F(Emulation, DeviceCodeOutsideAKernelIsRefused) {
  EXPECT_FALSE(emulation::in_kernel());
  EXPECT_THROW(emulation::thread_rank(), Error);
  EXPECT_THROW(emulation::shared_pointer(1024), Error);
}

TEST_F(Emulation, SharedAddressesGoBackAndForth) {
  Tensor out = poisoned({4}, DType::i32);
  shared_addresses(exec(), out);
  EXPECT_EQ(numbers(out), std::vector<std::int32_t>(4, 1));
}

}  // namespace
}  // namespace mixspan::test
