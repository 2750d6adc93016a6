#include "parallel/handovers.h"

#include <utility>

#include "core/error.h"

namespace mixspan {

Handovers::Token Handovers::offer(const void* data, OwnedEvent ready) {
  const std::lock_guard lock(mutex_);
  offers_.emplace(next_, Offer{data, std::move(ready), {}});
  return next_++;
}

// Under the lock, so that the data are there until the work that reads them has been given.
void Handovers::take(Token token,
                     const std::function<OwnedEvent(const void* data, Event ready)>& read) {
  const std::lock_guard lock(mutex_);
  const auto found = offers_.find(token);
  check(found != offers_.end(), "the sender has given the message up");
  found->second.taken = read(found->second.data, found->second.ready);
  found->second.was_taken = true;
}

bool Handovers::take_back(Token token, const std::function<void(Event taken)>& follow) {
  const std::lock_guard lock(mutex_);
  const auto found = offers_.find(token);
  check(found != offers_.end(), "a message that was taken back already");
  if (!found->second.was_taken) return false;
  follow(found->second.taken);
  offers_.erase(found);
  return true;
}

void Handovers::withdraw(Token token) {
  OwnedEvent taken;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = offers_.find(token); found != offers_.end()) {
      taken = std::move(found->second.taken);
      offers_.erase(found);
    }
  }
  if (Event(taken).handle() != nullptr) synchronise(taken);
}

}  // namespace mixspan
