// Where the ranks of one process leave device memory for each other to read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "core/device.h"

namespace mixspan {

/// What one rank offers, another takes, and the first takes back. All of it from any thread.
class Handovers {
 public:
  using Token = std::uint64_t;

  /// `data` may be read once `ready` has come, until take_back() or withdraw().
  Token offer(const void* data, OwnedEvent ready);
  /// Calls read(data, ready), which gives a stream the work of reading and returns an event that
  /// follows that. Throws Error where the offer was withdrawn.
  void take(Token token, const std::function<OwnedEvent(const void* data, Event ready)>& read);
  /// Once the offer has been taken: calls follow(the event after the reading), forgets the offer
  /// and returns true.
  bool take_back(Token token, const std::function<void(Event taken)>& follow);
  /// From then on nobody gives work that reads the data; waits until none does.
  void withdraw(Token token);

 private:
  struct Offer {
    const void* data;
    OwnedEvent ready, taken;
    bool was_taken = false;
  };
  std::mutex mutex_;
  std::map<Token, Offer> offers_;
  Token next_ = 0;
};

}  // namespace mixspan
