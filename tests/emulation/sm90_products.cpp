// Descriptors and layouts: PTX ISA 9.0, 9.7.15.5.1 "Register Fragments and Shared Memory Matrix
// Layouts"; the canonical layouts there are, in elements of 2 bytes and with the 128-byte swizzle,
//   K-major  ((8, m), (8, 2)) : ((64, stride), (1, 8))
//   MN-major ((8, 8, m), (8, 2)) : ((1, 8, leading), (64, stride)),
// as also in the comments of CUTLASS, include/cute/atom/mma_traits_sm90_gmma.hpp (make_gmma_desc).
// The swizzle exchanges bits of the address itself, so a matrix may begin inside a row of 128
// bytes.
#include <cstring>

#include "core/dtype.h"
#include "core/error.h"
#include "tests/emulation/sm90_state.h"

namespace mixspan::emulation {

namespace {

constexpr int kRows = 64, kDepth = 16;

struct Descriptor {
  std::uint32_t at, leading, stride;

  explicit Descriptor(std::uint64_t d)
      : at(static_cast<std::uint32_t>(d & 0x3fff) << 4),
        leading(static_cast<std::uint32_t>(d >> 16 & 0x3fff) << 4),
        stride(static_cast<std::uint32_t>(d >> 32 & 0x3fff) << 4) {
    check(d >> 62 == 1 && (d >> 49 & 7) == 0,
          "wgmma: only the 128-byte swizzle without a base offset is emulated");
  }
  /// Element (i along m or n, k).
  std::uint32_t element(int i, int k, bool across) const {
    const auto x = static_cast<std::uint32_t>(i), y = static_cast<std::uint32_t>(k);
    return swizzled_128(across ? at + x % 64 * 2 + x / 64 * leading + y % 8 * 128 + y / 8 * stride
                               : at + x % 8 * 128 + x / 8 * stride + y * 2);
  }
};

float bf16_at(std::uint32_t address) {
  check_shown(address / 16 * 16, 16, "wgmma");
  bf16 x;
  std::memcpy(&x, shared_pointer(address, 2), 2);
  return static_cast<float>(x);
}

void fetch_shared(float* to, int rows, std::uint64_t descriptor, bool across) {
  const Descriptor d(descriptor);
  for (int i = 0; i < rows; ++i) {
    for (int k = 0; k < kDepth; ++k) to[i * kDepth + k] = bf16_at(d.element(i, k, across));
  }
}
// Thread t holds rows 16 (t / 32) + (t % 32) / 4 + {0, 8}, two columns in each register.
void fetch_registers(float* to, const std::array<const std::uint32_t*, 128>& registers) {
  for (int t = 0; t < 128; ++t) {
    for (int r = 0; r < 4; ++r) {
      const int row = t / 32 * 16 + t % 32 / 4 + r % 2 * 8, column = t % 4 * 2 + r / 2 * 8;
      const std::uint32_t two = registers[static_cast<std::size_t>(t)][r];
      for (int half = 0; half < 2; ++half) {
        bf16 x;
        x.bits = static_cast<std::uint16_t>(two >> (16 * half));
        to[row * kDepth + column + half] = static_cast<float>(x);
      }
    }
  }
}

// values (64, n) (+)= the product.
void multiply(std::vector<float>& values, const GroupProduct& product) {
  const int n = product.of.n;
  std::vector<float> a(kRows * kDepth), b(static_cast<std::size_t>(n) * kDepth);
  if (product.of.a_registers != nullptr) {
    fetch_registers(a.data(), product.a_registers);
  } else {
    fetch_shared(a.data(), kRows, product.of.a, false);
  }
  fetch_shared(b.data(), n, product.of.b, product.of.b_across);
  std::vector<float> columns(b.size());  // (kDepth, n)
  for (int j = 0; j < n; ++j) {
    for (int k = 0; k < kDepth; ++k) {
      columns[static_cast<std::size_t>(k * n + j)] = b[static_cast<std::size_t>(j * kDepth + k)];
    }
  }
  if (!product.of.add) std::fill(values.begin(), values.end(), 0.0f);
  for (int i = 0; i < kRows; ++i) {
    float* const row = values.data() + std::ptrdiff_t{i} * n;
    for (int k = 0; k < kDepth; ++k) {
      const float x = a[static_cast<std::size_t>(i * kDepth + k)];
      const float* const column = columns.data() + std::ptrdiff_t{k} * n;
      for (int j = 0; j < n; ++j) row[j] += x * column[j];
    }
  }
}

// Calls f(register of a thread, element of values) for all.
template <class F>
void for_each_register(Sums& sums, F f) {
  for (int t = 0; t < 128; ++t) {
    for (int i = 0; i < sums.n / 2; ++i) {
      const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8,
                column = i / 4 * 8 + t % 4 * 2 + i % 2;
      f(sums.d[static_cast<std::size_t>(t)][i],
        sums.values[static_cast<std::size_t>(row * sums.n + column)]);
    }
  }
}

constexpr std::uint32_t kOnItsWay = 0xff85a11f;  // a NaN that no arithmetic leaves as it is

Sums& sums_of(WarpgroupState& state, const GroupProduct& product) {
  const auto found = state.sums.find(product.d[0]);
  if (found != state.sums.end()) {
    check(found->second.n == product.of.n, "wgmma: sums of {} and of {} columns in one place",
          found->second.n, product.of.n);
    return found->second;
  }
  Sums& sums = state.sums[product.d[0]];
  sums = {product.d, product.of.n, 0,
          std::vector<float>(static_cast<std::size_t>(kRows * product.of.n))};
  for_each_register(sums, [](float& r, float& value) {
    value = r;
    std::memcpy(&r, &kOnItsWay, 4);
  });
  return sums;
}

void finish(WarpgroupState& state, const GroupProduct& product) {
  Sums& sums = sums_of(state, product);
  multiply(sums.values, product);
  if (--sums.pending > 0) return;
  for_each_register(sums, [](float& r, const float& value) {
    check(std::memcmp(&r, &kOnItsWay, 4) == 0, "wgmma: its sums were touched before the wait");
    r = value;
  });
  state.sums.erase(product.d[0]);
}

WarpgroupState& my_warpgroup() {
  return beside_state().warpgroups[static_cast<std::size_t>(thread_rank() / 128)];
}

}  // namespace

void start_products(std::source_location where) {
  int nothing = 0;
  collective(
      Group::warpgroup(), "wgmma.fence", nothing,
      [](Deposits<int>) { my_warpgroup().started = true; }, where);
}

void start_product(Product mine, std::source_location where) {
  const auto all_come = [](Deposits<Product> all) {
    WarpgroupState& state = my_warpgroup();
    check(state.started, "wgmma: no start_products() since the last wait");
    GroupProduct product{{}, {}, *all[0]};
    for (int t = 0; t < 128; ++t) {
      const Product& one = *all[t];
      check(one.a == product.of.a && one.b == product.of.b && one.add == product.of.add &&
                one.n == product.of.n,
            "wgmma: thread {} of the warpgroup has other operands than thread 0", t);
      product.d[static_cast<std::size_t>(t)] = one.d;
      product.a_registers[static_cast<std::size_t>(t)] = one.a_registers;
    }
    ++sums_of(state, product).pending;
    if (beside() == Beside::early) {
      finish(state, product);
    } else {
      state.open.push_back(product);
    }
  };
  collective(Group::warpgroup(), "wgmma.mma_async", mine, all_come, where);
}

void commit_products(std::source_location where) {
  int nothing = 0;
  const auto all_come = [](Deposits<int>) {
    WarpgroupState& state = my_warpgroup();
    state.groups.push_back(std::move(state.open));
    state.open.clear();
  };
  collective(Group::warpgroup(), "wgmma.commit_group", nothing, all_come, where);
}

void wait_products(int pending, std::source_location where) {
  const auto all_come = [](Deposits<int> all) {
    WarpgroupState& state = my_warpgroup();
    state.started = false;
    while (static_cast<int>(state.groups.size()) > *all[0]) {
      for (const GroupProduct& product : state.groups.front()) finish(state, product);
      state.groups.pop_front();
    }
  };
  collective(Group::warpgroup(), "wgmma.wait_group", pending, all_come, where);
}

}  // namespace mixspan::emulation
