// Named ranges for tools that watch the program: Nsight Systems and Nsight Compute show them.
#pragma once

#include <string_view>

namespace mixspan {

/// Opens a range of the calling thread inside those that it has open. By NVTX: without a tool it
/// costs next to nothing. Throws Error in a build without CUDA, where no tool would look.
void begin_profiler_range(std::string_view name);
/// Closes the innermost.
void end_profiler_range();

}  // namespace mixspan
