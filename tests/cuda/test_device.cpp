#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/cuda/base_kernels.h"
#include "tests/cuda/device_test.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

class DeviceCore : public DeviceTest {};

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "(nothing was thrown)";
}

TEST_F(DeviceCore, DescribesItself) {
  const DeviceInfo info = describe(device());
  EXPECT_NE(info.name, "");
  EXPECT_GE(info.major, 7);
  EXPECT_GT(info.sm_count, 0);
  EXPECT_GE(info.shared_bytes_per_block, std::size_t{48} << 10);
  const DeviceMemory memory = memory_of(device());
  EXPECT_LE(memory.free_bytes, memory.total_bytes);
  EXPECT_EQ(memory.total_bytes, info.memory_bytes);
  EXPECT_EQ(why_no_device(), "");
  EXPECT_NO_THROW(require_device(device()));
  EXPECT_THROW(require_device({DeviceKind::cuda, 1000}), InputError);
  EXPECT_NO_THROW(require_device({}));
}

TEST_F(DeviceCore, ATensorIsZeroedAndComesBackAsItWent) {
  const Tensor zeros({3, 5}, DType::f32, device());
  EXPECT_EQ(bits_differ(download(zeros), Tensor({3, 5})), "");
  const Tensor host = random_tensor({7, 11}, 1);
  EXPECT_EQ(bits_differ(download(upload(host)), host), "");
  EXPECT_EQ(upload(host).device(), device());
}

TEST_F(DeviceCore, CopiesRowsThatLieApart) {
  const Tensor host = random_tensor({6, 4, 10}, 2);
  const Tensor there = upload(host);
  Tensor part({6, 4, 3});
  copy(exec(), part, there.view().slice(2, 5, 8));
  synchronise(exec().stream);
  for (int i = 0; i < 24; ++i) {
    for (int c = 0; c < 3; ++c) {
      EXPECT_EQ(part.data<float>()[i * 3 + c], host.data<float>()[i * 10 + 5 + c]);
    }
  }
  Tensor back({6, 4, 10}, DType::f32, device());
  copy(exec(), back.view().slice(2, 0, 3), part);
  const Tensor result = download(back);
  EXPECT_EQ(result.data<float>()[12], part.data<float>()[5]);
  EXPECT_EQ(result.data<float>()[3], 0.0f);
  EXPECT_THROW(copy(exec(), part, there), Error);
}

TEST_F(DeviceCore, ZeroesInOrderOfTheStream) {
  Tensor t = poisoned({100});
  fill_zero(exec(), t);
  EXPECT_EQ(bits_differ(download(t), Tensor({100})), "");
}

TEST_F(DeviceCore, PinnedMemoryHoldsACopyOnceTheHostHasWaited) {
  const Tensor host = random_tensor({64}, 3);
  const Tensor there = upload(host);
  const PinnedBuffer pinned(256, "a test");
  const OwnedEvent arrived(device());
  copy_bytes(exec().stream, pinned.data(), there.view().raw(), 256);
  record(arrived, exec().stream);
  synchronise(arrived);
  EXPECT_EQ(std::memcmp(pinned.data(), host.view().raw(), 256), 0);
}

TEST_F(DeviceCore, AStreamWaitsForAnother) {
  const OwnedStream other(device());
  const OwnedEvent done(device());
  const Tensor host = random_tensor({1024}, 4);
  const Tensor first = upload(host);
  Tensor second({1024}, DType::f32, device());
  record(done, exec().stream);
  wait(other, done);
  copy_bytes(other, second.view().raw(), first.view().raw(), 4096);
  synchronise(other);
  EXPECT_EQ(bits_differ(download(second), host), "");
}

TEST_F(DeviceCore, TimedEventsTellTime) {
  const OwnedEvent begin(device(), true), end(device(), true);
  record(begin, exec().stream);
  record(end, exec().stream);
  synchronise(end);
  EXPECT_GE(milliseconds_between(begin, end), 0.0);
}

TEST_F(DeviceCore, TooMuchMemoryIsRefusedWithAllSizes) {
  const std::size_t total = memory_of(device()).total_bytes;
  const std::string message = message_of([&] { DeviceBuffer(device(), total + 1, "the weights"); });
  EXPECT_NE(message.find(fmt::format("the weights: {} bytes on cuda:0 were wanted", total + 1)),
            std::string::npos)
      << message;
  EXPECT_NE(message.find(fmt::format("of {} bytes are free", total)), std::string::npos) << message;
}

// ---- the arena ----------------------------------------------------------------------------------

TEST_F(DeviceCore, AnArenaGrowsByChunksAndKeepsThem) {
  Arena arena("a", device());
  EXPECT_EQ(arena.taken_bytes(), 0u);
  void* first = nullptr;
  {
    const Arena::Scope scope(arena);
    const View a = arena.allocate("small", {10});
    first = a.raw();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % 256, 0u);
    const std::size_t chunk = arena.taken_bytes();
    EXPECT_GE(chunk, std::size_t{1} << 20);
    // More than what is left of the chunk: a chunk of its own.
    arena.allocate("large", {static_cast<std::int64_t>(chunk)}, DType::u8);
    EXPECT_EQ(arena.taken_bytes(), 2 * chunk);
    EXPECT_EQ(arena.used_bytes(), 256 + chunk);
  }
  EXPECT_EQ(arena.used_bytes(), 0u);
  const std::size_t taken = arena.taken_bytes();
  EXPECT_EQ(arena.allocate("again", {10}).raw(), first);
  arena.allocate("large again", {static_cast<std::int64_t>(taken / 2)}, DType::u8);
  EXPECT_EQ(arena.taken_bytes(), taken);
  const auto report = arena.high_water_report();
  ASSERT_EQ(report.size(), 2u);
  EXPECT_EQ(report[0].label, "large");
  EXPECT_EQ(report[1].bytes, 256u);
}

TEST_F(DeviceCore, AnArenaThatIsFullSaysOfWhat) {
  Arena arena("the step", device(), std::size_t{1} << 20);
  arena.allocate("hidden", {1 << 18}, DType::u8);
  arena.allocate("logits", {1 << 19}, DType::u8);
  const std::string message = message_of([&] { arena.allocate("more", {1 << 19}, DType::u8); });
  EXPECT_EQ(message,
            "arena 'the step': 524288 bytes for 'more' do not fit; 786432 of 1048576 bytes are in "
            "use: logits 524288, hidden 262144");
  Arena unbounded("the step", device(), std::size_t{1} << 50);
  const auto all = static_cast<std::int64_t>(memory_of(device()).total_bytes);
  const std::string beyond = message_of([&] { unbounded.allocate("all", {2 * all}, DType::u8); });
  EXPECT_NE(beyond.find(fmt::format("of {} bytes are free", all)), std::string::npos) << beyond;
}

TEST_F(DeviceCore, APoisonedArenaHandsOutNaNs) {
  Arena arena("a", device());
  arena.poison(true, exec().stream);
  View first = arena.allocate("x", {8});
  fill_zero(exec(), first);
  const Tensor zeros = download(first);
  EXPECT_EQ(zeros.data<float>()[7], 0.0f);
  { const Arena::Scope scope(arena); }
  Arena again("b", device());
  again.poison(true, exec().stream);
  for (int pass = 0; pass < 2; ++pass) {
    const Arena::Scope scope(again);
    View x = again.allocate("x", {8});
    const Tensor fresh = download(x);
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(std::isnan(fresh.data<float>()[i]));
    fill_zero(exec(), x);
  }
}

// ---- launches -----------------------------------------------------------------------------------

class DeviceLaunch : public DeviceTest {};

TEST_F(DeviceLaunch, ReducesRowsInEveryOrderToTheSameBits) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const std::int64_t columns : {8, 1016, 1024, 3000}) {
      const Tensor host = as_dtype(dtype, random_tensor({5, columns}, 7));
      const Tensor in = upload(host);
      Tensor want({5}, DType::f64);
      for (std::int64_t i = 0; i < host.size(); ++i) {
        want.data<double>()[i / columns] += as_dtype(DType::f64, host).data<double>()[i];
        if (columns > 8) break;
      }
      const Tensor wide = as_dtype(DType::f64, host);
      for (std::int64_t r = 0; r < 5; ++r) {
        const double* row = wide.data<double>() + r * columns;
        want.data<double>()[r] = std::accumulate(row, row + columns, 0.0);
      }
      Tensor first;
      in_every_order([&] {
        Tensor out = poisoned({5});
        row_sums(exec(), out, in);
        const Tensor got = download(out);
        EXPECT_EQ(differs(got, want, kReduction), "");
        if (first.size() != 5) first = copy_of(got);
        EXPECT_EQ(bits_differ(got, first), "");
      });
    }
  }
}

TEST_F(DeviceLaunch, FindsTheLargest) {
  const Tensor host = random_tensor({3, 1000}, 9);
  const Tensor in = upload(host);
  in_every_order([&] {
    Tensor out = poisoned({3});
    row_maxima(exec(), out, in);
    const Tensor got = download(out);
    for (int r = 0; r < 3; ++r) {
      const float* row = host.data<float>() + r * 1000;
      EXPECT_EQ(got.data<float>()[r], *std::max_element(row, row + 1000));
    }
  });
}

TEST_F(DeviceLaunch, ConvertsAsTheHostDoes) {
  Tensor host = random_tensor({4096}, 11);
  float* x = host.data<float>();
  // Ties of rounding, the edges of the range, and what is not a number.
  const float special[] = {1.00390625f, 1.01171875f, 3.4e38f, -3.4e38f, 1e-40f, -0.0f, INFINITY};
  std::copy(std::begin(special), std::end(special), x);
  const Tensor in = upload(host);
  Tensor narrow = poisoned({4096}, DType::bf16);
  convert(exec(), narrow, in);
  EXPECT_EQ(bits_differ(download(narrow), as_dtype(DType::bf16, host)), "");
  Tensor wide = poisoned({4096});
  convert(exec(), wide, narrow);
  EXPECT_EQ(bits_differ(download(wide), rounded_to(DType::bf16, host)), "");
  host.data<float>()[0] = NAN;
  Tensor again = poisoned({4096}, DType::bf16);
  convert(exec(), again, upload(host));
  EXPECT_TRUE(std::isnan(static_cast<float>(download(again).data<bf16>()[0])));
}

TEST_F(DeviceLaunch, GivesDynamicSharedMemoryBeyond48KiB) {
  for (const std::int64_t n : {100, 12 * 1024, 20 * 1024}) {
    Tensor out = poisoned({n}, DType::i32);
    reverse_in_shared(exec(), out, static_cast<std::size_t>(n) * 4);
    const Tensor got = download(out);
    for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(got.data<std::int32_t>()[i], n - 1 - i);
  }
  Tensor out = poisoned({1}, DType::i32);
  const std::string message =
      message_of([&] { reverse_in_shared(exec(), out, std::size_t{1} << 20); });
  EXPECT_NE(message.find("base_kernels.cu"), std::string::npos) << message;
}

TEST_F(DeviceLaunch, ARefusedLaunchNamesItsPlace) {
  const std::string message = message_of([&] { launch_too_many_threads(exec()); });
  EXPECT_NE(message.find("base_kernels.cu"), std::string::npos) << message;
  EXPECT_NE(message.find("cudaErrorInvalid"), std::string::npos) << message;
  Tensor out = poisoned({100}, DType::i32);  // and harms no later one
  reverse_in_shared(exec(), out, 400);
  EXPECT_EQ(download(out).data<std::int32_t>()[0], 99);
}

}  // namespace
}  // namespace mixspan::test
