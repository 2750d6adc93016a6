// What the wgmma attention kernels are made of, against plain loops: every kind of operand.
#include "tests/cuda/beside.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/hopper_kernels.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using namespace test;

class Hopper : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    require_capability(9, 0);
  }
};

/// Small whole numbers, so that all sums are exact.
Tensor whole_numbers(Shape shape, std::int64_t seed) {
  Tensor x(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.data<float>()[i] = static_cast<float>((i * 7919 + seed * 104729 + i / 13) % 7 - 3);
  }
  return x;
}

constexpr std::int64_t kB = 2, kT = 150, kHeads = 3;

/// Row r of the box at `place` of x (B, T, heads, H); zeros past T.
float at(const Tensor& x, BoxPlace place, std::int64_t r, std::int64_t column) {
  const std::int64_t H = x.shape()[3], row = place.row + r;
  if (row >= kT) return 0;
  return x.data<float>()[((place.sequence * kT + row) * kHeads + place.head) * H + column];
}

struct Products {
  Tensor scores, weighted, out;

  Products(const Tensor& a, const Tensor& b, const Tensor& w, BoxPlace place)
      : scores({64, w.shape()[3]}), weighted({64, a.shape()[3]}), out(a.shape()) {
    const std::int64_t H = a.shape()[3], N = w.shape()[3];
    for (std::int64_t i = 0; i < 64; ++i) {
      for (std::int64_t j = 0; j < N; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < H; ++k) sum += at(a, place, i, k) * at(b, place, j, k);
        scores.data<float>()[i * N + j] = sum;
      }
      for (std::int64_t j = 0; j < H; ++j) {
        float sum = 0;
        for (std::int64_t k = 0; k < N; ++k) sum += at(w, place, i, k) * at(b, place, k, j);
        weighted.data<float>()[i * H + j] = sum;
      }
    }
    std::fill_n(out.data<float>(), out.size(), 1.0f);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(64, kT - place.row); ++i) {
      const std::int64_t row = (place.sequence * kT + place.row + i) * kHeads + place.head;
      for (std::int64_t j = 0; j < H; ++j) {
        out.data<float>()[row * H + j] = 2 * weighted.data<float>()[i * H + j];
      }
    }
  }
};

TEST_F(Hopper, EveryKindOfProductIsThatOfPlainLoops) {
  for (const std::int64_t H : {64, 128}) {
    for (const std::int64_t N : {64, 128}) {
      const Tensor a = whole_numbers({kB, kT, kHeads, H}, 1);
      const Tensor b = whole_numbers({kB, kT, kHeads, H}, 2);
      const Tensor w = whole_numbers({kB, kT, kHeads, N}, 3);
      const Tensor da = upload(as_dtype(DType::bf16, a)), db = upload(as_dtype(DType::bf16, b)),
                   dw = upload(as_dtype(DType::bf16, w));
      for (const BoxPlace place : {BoxPlace{0, 0, 0}, BoxPlace{64, 2, 1}, BoxPlace{131, 1, 0}}) {
        SCOPED_TRACE(fmt::format("H={} N={} row {}", H, N, place.row));
        const Products want(a, b, w, place);
        Tensor ones({kB, kT, kHeads, H});
        std::fill_n(ones.data<float>(), ones.size(), 1.0f);
        late_and_early([&] {
          Tensor shared = poisoned({64, N}), kept = poisoned({64, N}), weighted = poisoned({64, H});
          Tensor out = upload(as_dtype(DType::bf16, ones));
          try_products(exec(), shared, kept, weighted, out, da, db, dw, place);
          EXPECT_EQ(bits_differ(download(shared), want.scores), "") << "a in shared memory";
          EXPECT_EQ(bits_differ(download(kept), want.scores), "") << "a in registers";
          EXPECT_EQ(bits_differ(download(weighted), want.weighted), "") << "b across its rows";
          EXPECT_EQ(
              bits_differ(as_dtype(DType::f32, download(out)), rounded_to(DType::bf16, want.out)),
              "")
              << "copy out";
        });
      }
    }
  }
}

TEST_F(Hopper, APhaseOfABarrierEndsWhenItsBytesAreThere) {
  const Tensor x = random_tensor({64, 16}, 5);
  late_and_early([&] {
    in_every_order([&] {
      Tensor y = poisoned({64, 16});
      try_phases(exec(), y, upload(x));
      EXPECT_EQ(bits_differ(download(y), x), "");
    });
  });
}

}  // namespace
}  // namespace mixspan
