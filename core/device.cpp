#include "core/device.h"

#include <fmt/format.h>

namespace mixspan {

std::string Device::str() const { return is_cuda() ? fmt::format("cuda:{}", index) : "cpu"; }

}  // namespace mixspan
