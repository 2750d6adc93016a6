// What the operations say in a build without CUDA.
#pragma once

#include <string_view>

#include "core/error.h"

namespace mixspan::cuda {

[[noreturn]] inline void no_cuda(std::string_view operation) {
  fail("{}: this build has no CUDA (it was configured without nvcc)", operation);
}

}  // namespace mixspan::cuda
