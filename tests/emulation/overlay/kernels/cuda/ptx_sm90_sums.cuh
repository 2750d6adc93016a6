// kernels/cuda/ptx_sm90_sums.cuh for the emulated build.
#pragma once

#include "kernels/cuda/ptx_sm90.cuh"
#include "tests/emulation/blocks_at_once.h"

namespace mixspan::cuda {

inline void store_quad(float4* to, float4 x) {
  *to = x;
  emulation::note_write(shared_address(to));
}

inline void copy_bytes_out(void* to, const void* from, int bytes) {
  emulation::copy_bytes_out(to, from, static_cast<std::size_t>(bytes), false);
}
inline void add_floats_out(float* to, const void* from, int bytes) {
  emulation::copy_bytes_out(to, from, static_cast<std::size_t>(bytes), true);
}
inline void wait_copies_out() { emulation::wait_copies_out(); }

inline void set_flag(std::int32_t* flag, std::int32_t value) {
  emulation::check_device_range(flag, sizeof(*flag), "a flag");
  *flag = value;
  emulation::let_other_blocks_run(true);
}
inline void wait_for_flag(const std::int32_t* flag, std::int32_t value,
                          Where where = Where::current()) {
  emulation::check_device_range(flag, sizeof(*flag), "a flag");
  emulation::wait_until(
      "a flag", [&] { return *flag == value; }, where);
}

inline SharedAddress anew(SharedAddress at) { return at; }

inline void store_matrices_turned(SharedAddress row, const std::uint32_t (&r)[4],
                                  Where where = Where::current()) {
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
        for (int j = 0; j < 8; ++j) {  // element (j, i) of the matrix: lane 4 j + i / 2
          const auto two = reinterpret_cast<const std::byte*>(&all[4 * j + i / 2]->r[m]);
          std::memcpy(to + 2 * j, two + i % 2 * 2, 2);
        }
      }
    }
  };
  emulation::collective(emulation::Group::warp(), "stmatrix.trans", mine, all_come, where);
  emulation::note_write(row);
}

}  // namespace mixspan::cuda
