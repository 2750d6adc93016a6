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
  store_matrices_as<true>("stmatrix.trans", row, r, where);
}

}  // namespace mixspan::cuda
