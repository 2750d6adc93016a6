// Elements of strided views in host memory.
#pragma once

#include <cstring>

#include "core/tensor.h"

namespace mixspan::test {

/// to = from, element by element; any strides, one shape and type.
inline void set(const View& to, const ConstView& from) {
  check_shape("set", to, from.shape());
  check_dtype("set", to, from.dtype());
  const std::size_t width = size_of(to.dtype());
  for (std::int64_t i = 0; i < to.size(); ++i) {
    std::int64_t rest = i, a = 0, b = 0;
    for (int d = to.shape().rank() - 1; d >= 0; --d) {
      a += rest % to.dim(d) * to.stride(d);
      b += rest % to.dim(d) * from.stride(d);
      rest /= to.dim(d);
    }
    std::memcpy(static_cast<std::byte*>(to.raw()) + static_cast<std::size_t>(a) * width,
                static_cast<const std::byte*>(from.raw()) + static_cast<std::size_t>(b) * width,
                width);
  }
}

}  // namespace mixspan::test
