// The __shared__ variables of all kernels of this program. They are thread_local variables of
// functions (cuda_device.h), and are found by their symbols in the program's own file.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mixspan::emulation {

/// Fills all of them, of the calling OS thread, with NaN patterns.
void poison_static_shared();

/// Where they lie for the calling OS thread: [begin, begin + bytes).
struct StaticShared {
  std::byte* begin;
  std::size_t bytes;
};
StaticShared static_shared();

/// The name of a function of this program, for messages.
std::string function_name(const void* function);

}  // namespace mixspan::emulation
