#include "parallel/comm_endpoint.h"

#include "parallel/comm_call.h"
#include "parallel/communicator.h"

namespace mixspan {

Endpoint::Endpoint(std::unique_ptr<Link> link, double timeout_seconds)
    : link_(std::move(link)), timeout_seconds_(timeout_seconds) {}

void Endpoint::use_device(const DevicePlace& place) {
  if (!place.device.is_cuda()) return;
  if (!device_) {
    device_.emplace(*link_, place);
    return;
  }
  const DevicePlace& before = device_->place();
  check(before.device == place.device && before.compute == place.compute,
        "a rank whose tensors are on {} cannot change to {} or another stream", before.device.str(),
        place.device.str());
}

void Endpoint::wait_for_news(std::uint64_t seen, Transfer::Clock::time_point until) {
  if (device_ && device_->wait_for_copy()) return;
  link_->wait_for_news(seen, until);
}

void Endpoint::add(GroupCall* call) { under_way_.push_back(call); }
void Endpoint::remove(GroupCall* call) { std::erase(under_way_, call); }

void Endpoint::advance_all() {
  for (GroupCall* call : under_way_) call->advance();
}

void Endpoint::check_usable(const std::function<std::string()>& addition) {
  if (const std::optional<std::string> reason = link_->aborted()) {
    if (device_) device_->end_nccl();
    throw CommunicationError(report(*reason + (addition ? addition() : "")));
  }
  if (!dropped_.empty()) {
    throw CommunicationError(
        report(fmt::format("no call is possible after {} was dropped before its end", dropped_)));
  }
}

void Endpoint::mark_dropped(const std::string& call) {
  if (dropped_.empty()) dropped_ = call;
}

void Endpoint::fail(const std::string& reason) {
  link_->abort(reason);
  if (device_) device_->end_nccl();
  throw CommunicationError(report(reason));
}

std::string Endpoint::report(const std::string& reason) const {
  return fmt::format("{}\nlast operations of rank {}:{}", reason, link_->rank(), history_.str());
}

}  // namespace mixspan
