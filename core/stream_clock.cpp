#include "core/stream_clock.h"

namespace mixspan {

std::size_t StreamClock::mark() {
  if (used_ == events_.size()) events_.emplace_back(device_, true);
  if (used_ == 0) first_ = Clock::now();
  record(events_[used_], stream_);
  return used_++;
}

std::vector<StreamClock::Clock::time_point> StreamClock::read() {
  if (used_ == 0) return {};
  synchronise(Event(events_[used_ - 1]));
  std::vector<Clock::time_point> moments;
  moments.reserve(used_);
  for (std::size_t i = 0; i < used_; ++i) {
    const std::chrono::duration<double, std::milli> after(
        milliseconds_between(events_[0], events_[i]));
    moments.push_back(first_ + std::chrono::duration_cast<Clock::duration>(after));
  }
  used_ = 0;
  return moments;
}

}  // namespace mixspan
