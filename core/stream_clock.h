// Tells when a stream came past certain points of its work, without a wait in between.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "core/device.h"

namespace mixspan {

/// Moments are events in the stream's order. One thread uses it.
class StreamClock {
 public:
  using Clock = std::chrono::steady_clock;

  StreamClock(Device device, Stream stream) : device_(device), stream_(stream) {}

  /// Number of a new moment: when the stream has done all that it was given so far.
  std::size_t mark();
  /// Waits until the stream has come past all moments, says when that was, and begins anew. The
  /// first moment counts as that of its mark(), which is true of a stream that had nothing to do
  /// then; the others are timed by the device from there.
  std::vector<Clock::time_point> read();

 private:
  Device device_;
  Stream stream_;
  std::vector<OwnedEvent> events_;  // kept, since they are dear to make
  std::size_t used_ = 0;
  Clock::time_point first_{};
};

}  // namespace mixspan
