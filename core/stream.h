// A queue of work on a device. The CPU has none: its work is done when the call returns.
#pragma once

namespace mixspan {

struct Stream {
  void* handle = nullptr;  ///< of the device's runtime; null on the CPU
};

}  // namespace mixspan
