// Which emulated devices reach each other's memory, and what was copied without.
#pragma once

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

namespace mixspan::emulation {

class Peers {
 public:
  void connect(int reader, int other) {
    const std::lock_guard lock(mutex_);
    connected_.insert({reader, other});
  }
  bool connected(int reader, int other) {
    const std::lock_guard lock(mutex_);
    return connected_.contains({reader, other});
  }
  /// To how many `reader` is.
  int count(int reader) {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(std::count_if(connected_.begin(), connected_.end(),
                                          [&](const auto& c) { return c.first == reader; }));
  }
  /// -1: not on a device.
  void note_copy(int to, int from) {
    const std::lock_guard lock(mutex_);
    if (to >= 0 && from >= 0 && to != from) (connected_.contains({to, from}) ? straight : around)++;
  }

  int straight = 0, around = 0;  ///< copies between devices; around: through the host

 private:
  std::mutex mutex_;
  std::set<std::pair<int, int>> connected_;  // reader, other
};
/// Of this process.
Peers& peers();

}  // namespace mixspan::emulation
