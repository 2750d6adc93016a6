// cp.async: copies to shared memory that are on their way until they are waited for.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "tests/emulation/emulation.h"

namespace mixspan::emulation {

/// The copies of one thread that were started and not yet waited for. A GPU may bring them at any
/// time until then; here the target holds NaN patterns from the start, and the bytes come at the
/// wait, so that both who reads too early and who is overwritten too early shows.
struct PendingCopies {
  struct Copy {
    void* to;
    const void* from;  // null: zeros
    std::size_t bytes;
    int group;
  };
  std::vector<Copy> copies;
  uint3 block{0, 0, 0};
  int groups = 0;  // that were committed

  static PendingCopies& of_this_thread();
  void start(std::uint32_t to, const void* from, std::size_t bytes, bool valid) {
    mixspan::check(to % bytes == 0 && reinterpret_cast<std::uintptr_t>(from) % bytes == 0,
                   "cp.async of {} bytes at an address that is no multiple of it", bytes);
    if (valid) check_device_range(from, bytes, "cp.async");
    void* target = shared_pointer(to, bytes);
    std::memset(target, 0xff, bytes);
    copies.push_back({target, valid ? from : nullptr, bytes, groups});
  }
  void wait(int pending) {
    std::size_t kept = 0;
    for (const Copy& c : copies) {
      if (c.group >= groups - pending) {
        copies[kept++] = c;
      } else if (c.from == nullptr) {
        std::memset(c.to, 0, c.bytes);
      } else {
        std::memcpy(c.to, c.from, c.bytes);
      }
    }
    copies.resize(kept);
  }
};

/// Not within a function, where thread_local variables stand for shared memory.
inline thread_local std::vector<PendingCopies> all_pending_copies(1024);

inline PendingCopies& PendingCopies::of_this_thread() {
  PendingCopies& own = all_pending_copies[static_cast<std::size_t>(thread_rank())];
  const bool same =
      own.block.x == blockIdx.x && own.block.y == blockIdx.y && own.block.z == blockIdx.z;
  mixspan::check(same || own.copies.empty(),
                 "cp.async: a thread of an earlier block ended with copies on their way");
  own.block = blockIdx;
  return own;
}

}  // namespace mixspan::emulation
