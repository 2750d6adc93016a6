// core/profiler_ranges.h for a build without CUDA.
#include "core/error.h"
#include "core/profiler_ranges.h"

namespace mixspan {

void begin_profiler_range(std::string_view name) {
  fail("range '{}': this build has no CUDA (it was configured without nvcc)", name);
}
void end_profiler_range() {}

}  // namespace mixspan
