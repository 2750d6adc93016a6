// kernels/cuda/ptx_sm90.cuh for the emulated build.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "core/error.h"
#include "kernels/cuda/ptx_sm80.cuh"
#include "kernels/cuda/tensor_map.h"
#include "tests/emulation/sm90.h"

namespace mixspan::cuda {

using Barrier = std::uint64_t;
using Where = std::source_location;

inline void barrier_init(Barrier* b, int arrivals) { emulation::barrier_init(b, arrivals); }
inline void publish_barriers() {}
inline void barrier_arrive(Barrier* b, Where where = Where::current()) {
  emulation::barrier_arrive(b, 0, where);
}
inline void barrier_arrive_expecting(Barrier* b, int bytes, Where where = Where::current()) {
  emulation::barrier_arrive(b, bytes, where);
}
inline void barrier_wait(Barrier* b, unsigned parity, Where where = Where::current()) {
  emulation::barrier_wait(b, parity, where);
}

inline void named_barrier_sync(int number, int threads, Where where = Where::current()) {
  emulation::named_barrier_sync(number, threads, where);
}
inline void named_barrier_arrive(int number, int threads, Where where = Where::current()) {
  emulation::named_barrier_arrive(number, threads, where);
}

inline void prefetch_map(const TensorMap&) {}
inline void copy_box_in(void* to, const TensorMap& map, Barrier* b, int column, int row, int head,
                        int sequence) {
  emulation::copy_box_in(to, &map, b, {column, row, head, sequence});
}
inline void copy_box_out(const TensorMap& map, const void* from, int column, int row, int head,
                         int sequence) {
  emulation::copy_box_out(&map, from, {column, row, head, sequence});
}
inline void copy_bytes_in(void* to, const void* from, int bytes, Barrier* b) {
  emulation::copy_bytes_in(to, from, static_cast<std::size_t>(bytes), b);
}
inline void commit_copies_out() { emulation::commit_copies_out(); }
inline void wait_copies_out_read() { emulation::wait_copies_out_read(); }
inline void show_to_copies() { emulation::show_writes(); }

inline bool elected_lane(Where where = Where::current()) {
  bool elected = false;  // any lane may be: not the one that first comes to mind
  emulation::collective(
      emulation::Group::warp(), "elect.sync", elected,
      [](emulation::Deposits<bool> all) { *all[all.size() - 1] = true; }, where);
  return elected;
}

template <int kRegisters>
inline void set_registers(const char* operation, Where where) {
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
  int nothing = 0;
  emulation::collective(
      emulation::Group::warpgroup(), operation, nothing, [](emulation::Deposits<int>) {}, where);
}
template <int kRegisters>
inline void give_back_registers(Where where = Where::current()) {
  set_registers<kRegisters>("setmaxnreg.dec", where);
}
template <int kRegisters>
inline void take_registers(Where where = Where::current()) {
  set_registers<kRegisters>("setmaxnreg.inc", where);
}

/// kTurned: each matrix transposed.
template <bool kTurned>
inline void store_matrices_as(const char* name, SharedAddress row, const std::uint32_t (&r)[4],
                              Where where) {
  struct Part {
    SharedAddress row;
    const std::uint32_t* r;
  } mine{row, r};
  const auto all_come = [](emulation::Deposits<Part> all) {
    for (int m = 0; m < 4; ++m) {
      for (int i = 0; i < 8; ++i) {  // the row of memory that lane 8 m + i names
        const SharedAddress at = all[8 * m + i]->row;
        mixspan::check(at % 16 == 0, "stmatrix: a row at {} is not aligned", at);
        auto* to = static_cast<std::byte*>(emulation::shared_pointer(at, 16));
        for (int j = 0; j < 8; ++j) {
          const int row_held = kTurned ? j : i, column = kTurned ? i : j;
          const auto* two =
              reinterpret_cast<const std::byte*>(&all[4 * row_held + column / 2]->r[m]);
          std::memcpy(to + 2 * j, two + column % 2 * 2, 2);
        }
      }
    }
  };
  emulation::collective(emulation::Group::warp(), name, mine, all_come, where);
  emulation::note_write(row);  // a lane answers for the row it names
}
inline void store_matrices(SharedAddress row, const std::uint32_t (&r)[4],
                           Where where = Where::current()) {
  store_matrices_as<false>("stmatrix", row, r, where);
}

}  // namespace mixspan::cuda
