// What goes on beside the threads of the block that runs: shared by sm90_copies.cpp and
// sm90_products.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "tests/emulation/sm90.h"

namespace mixspan::emulation {

/// A copy in that has been started.
struct CopyIn {
  std::uint64_t* barrier;
  int bytes;
  std::function<void()> deliver;
};

/// A copy out: it reads its source, then it writes.
struct CopyOut {
  std::uint32_t from;
  std::vector<std::byte> bytes;
  bool was_read;
  std::function<void(const std::byte* bytes)> write;

  void read();
};

/// A product of the whole warpgroup, by thread.
struct GroupProduct {
  std::array<float*, 128> d;
  std::array<const std::uint32_t*, 128> a_registers;
  Product of;  ///< what is the same for all threads
};
/// Sums that products are on their way to: their registers hold NaN patterns until the last is
/// done.
struct Sums {
  std::array<float*, 128> d;
  int n, pending;
  std::vector<float> values;  ///< (64, n)
};
struct WarpgroupState {
  bool started = false;  ///< start_products() since the last wait
  std::vector<GroupProduct> open;
  std::deque<std::vector<GroupProduct>> groups;
  std::map<float*, Sums> sums;  ///< by the registers of thread 0
};

struct BesideState {
  std::uint64_t block = 0;
  std::vector<CopyIn> copies_in;
  std::map<int, std::vector<CopyOut>> copies_out;        ///< by thread
  std::unordered_map<std::uint32_t, int> hidden_writes;  ///< address / 16: thread
  std::array<WarpgroupState, 8> warpgroups;

  bool finished() const;
};
/// Of the block that runs.
BesideState& beside_state();

}  // namespace mixspan::emulation
