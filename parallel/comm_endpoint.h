// What all communicators of one rank share: its link, its watchdog, its calls under way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parallel/comm_device.h"
#include "parallel/comm_history.h"
#include "parallel/link.h"

namespace mixspan {

class GroupCall;

class Endpoint {
 public:
  /// A wait longer than the timeout fails; 0: waits for ever.
  Endpoint(std::unique_ptr<Link> link, double timeout_seconds);

  Link& link() { return *link_; }
  History& history() { return history_; }
  double timeout_seconds() const { return timeout_seconds_; }

  /// See Communicator::use_device.
  void use_device(const DevicePlace& place);
  /// Null: tensors lie in host memory.
  DeviceMessages* device() { return device_ ? &*device_ : nullptr; }
  /// As Link's, but also ends when a message can leave this rank's device.
  void wait_for_news(std::uint64_t seen, Transfer::Clock::time_point until);

  /// The first channel that no group of this rank uses.
  std::uint32_t free_channel() const { return free_channel_; }
  void use_channels_below(std::uint32_t channel) { free_channel_ = channel; }

  void add(GroupCall* call);
  void remove(GroupCall* call);
  /// Polls all calls under way, in the order in which they were made: one that others wait for
  /// gets on while this rank waits for another one.
  void advance_all();

  /// Throws CommunicationError when the world has failed, with what this rank has to add to the
  /// reason, or a call was dropped.
  void check_usable(const std::function<std::string()>& addition = {});
  /// No further call is possible: the messages of a dropped one would be taken for it.
  void mark_dropped(const std::string& call);
  /// Aborts the world with this reason and throws CommunicationError with it and the history.
  [[noreturn]] void fail(const std::string& reason);

 private:
  std::string report(const std::string& reason) const;

  std::unique_ptr<Link> link_;
  double timeout_seconds_;
  std::optional<DeviceMessages> device_;
  History history_;
  std::uint32_t free_channel_ = 0;
  std::vector<GroupCall*> under_way_;
  std::string dropped_;  // empty: none was
};

}  // namespace mixspan
