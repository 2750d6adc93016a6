#include "parallel/comm_device.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/error.h"
#include "core/event_reached.h"

namespace mixspan {

namespace {

using Clock = Transfer::Clock;

/// What travels over the link in place of a message that the receiver fetches.
struct Notice {
  Envelope envelope;
  Handovers::Token token;
  std::int64_t device;  ///< that the message lies on
};
static_assert(std::is_trivially_copyable_v<Notice>);

// Sizes in steps, so that messages of about one size share memory.
std::size_t rounded(std::size_t bytes) {
  const std::size_t step = std::max<std::size_t>(4096, std::bit_floor(bytes) / 4);
  return std::max(step, (bytes + step - 1) / step * step);
}

class DirectSend final : public Transfer {
 public:
  DirectSend(Link& link, DeviceQueue& queue, int to, std::uint32_t channel,
             const Envelope& envelope, std::span<const std::byte> data)
      : handovers_(*link.handovers()), queue_(queue) {
    notice_ = {envelope, handovers_.offer(data.data(), queue.mark()), queue.device().index};
    Envelope outer = envelope;
    outer.bytes = sizeof(Notice);
    transfer_ = link.send(to, channel, outer, std::as_bytes(std::span(&notice_, 1)));
  }
  ~DirectSend() override {
    if (taken_) return;
    try {
      handovers_.withdraw(notice_.token);
    } catch (const Error&) {  // of the device, which reads nothing any more
    }
  }
  std::optional<Clock::time_point> poll() override {
    if (transfer_ != nullptr && !transfer_->poll()) return {};
    transfer_ = nullptr;
    taken_ = taken_ ||
             handovers_.take_back(notice_.token, [&](Event read) { wait(queue_.stream(), read); });
    return taken_ ? std::optional(Clock::now()) : std::nullopt;
  }

 private:
  Handovers& handovers_;
  DeviceQueue& queue_;
  Notice notice_{};
  std::unique_ptr<Transfer> transfer_;
  bool taken_ = false;
};

class DirectReceive final : public Transfer {
 public:
  DirectReceive(Link& link, DeviceMessages& messages, DeviceQueue& queue, int from,
                std::uint32_t channel, Envelope& envelope, std::span<std::byte> data)
      : link_(link),
        messages_(messages),
        queue_(queue),
        from_(from),
        envelope_(envelope),
        data_(data) {
    transfer_ = link.receive(from, channel, outer_, std::as_writable_bytes(std::span(&notice_, 1)));
  }
  std::optional<Clock::time_point> poll() override {
    if (!transfer_->poll()) return {};
    envelope_ = notice_.envelope;
    messages_.reach(static_cast<int>(notice_.device));
    const bool fits = std::cmp_equal(envelope_.bytes, data_.size());
    link_.handovers()->take(notice_.token, [&](const void* data, Event ready) {
      wait(queue_.stream(), ready);
      if (fits) copy_bytes(queue_.stream(), data_.data(), data, data_.size());
      return queue_.mark();
    });
    link_.wake(from_);
    return Clock::now();
  }

 private:
  Link& link_;
  DeviceMessages& messages_;
  DeviceQueue& queue_;
  int from_;
  Envelope& envelope_;
  Envelope outer_;
  std::span<std::byte> data_;
  Notice notice_{};
  std::unique_ptr<Transfer> transfer_;
};

}  // namespace

/// The link gets the message when it has come to pinned memory.
class StagedSend final : public Transfer {
 public:
  StagedSend(DeviceMessages& messages, DeviceQueue& queue, int to, std::uint32_t channel,
             const Envelope& envelope, std::span<const std::byte> data)
      : messages_(messages), to_(to), channel_(channel), envelope_(envelope), bytes_(data.size()) {
    pinned_ = messages.pinned_.take(bytes_);
    copy_bytes(queue.stream(), pinned_.data(), data.data(), bytes_);
    copied_ = queue.mark();
    messages_.copying_.push_back(this);
  }
  ~StagedSend() override {
    std::erase(messages_.copying_, this);
    // Given up in the middle: neither the device nor the link may meet the next message there.
    if (ended_) messages_.pinned_.give_back(std::move(pinned_));
  }
  Event copied() const { return copied_; }
  void start() {
    started_ = true;
    transfer_ = messages_.link_.send(to_, channel_, envelope_,
                                     {static_cast<const std::byte*>(pinned_.data()), bytes_});
  }
  std::optional<Clock::time_point> poll() override {
    messages_.start_copied();
    if (!started_ || (transfer_ != nullptr && !transfer_->poll())) return {};
    transfer_ = nullptr;
    ended_ = true;
    return Clock::now();
  }

 private:
  DeviceMessages& messages_;
  int to_;
  std::uint32_t channel_;
  Envelope envelope_;
  std::size_t bytes_;
  PinnedBuffer pinned_;
  OwnedEvent copied_;
  std::unique_ptr<Transfer> transfer_;  // goes before what it reads
  bool started_ = false, ended_ = false;
};

class StagedReceive final : public Transfer {
 public:
  StagedReceive(DeviceMessages& messages, DeviceQueue& queue, int from, std::uint32_t channel,
                Envelope& envelope, std::span<std::byte> data)
      : messages_(messages), queue_(queue), envelope_(envelope), data_(data) {
    pinned_ = messages.pinned_.take(data.size());
    transfer_ = messages.link_.receive(from, channel, envelope,
                                       {static_cast<std::byte*>(pinned_.data()), data.size()});
  }
  std::optional<Clock::time_point> poll() override {
    const std::optional<Clock::time_point> end = transfer_->poll();
    if (!end) return {};
    if (std::cmp_equal(envelope_.bytes, data_.size())) {
      copy_bytes(queue_.stream(), data_.data(), pinned_.data(), data_.size());
    }
    messages_.pinned_.give_back(std::move(pinned_), queue_.mark());
    return end;
  }

 private:
  DeviceMessages& messages_;
  DeviceQueue& queue_;
  Envelope& envelope_;
  std::span<std::byte> data_;
  PinnedBuffer pinned_;
  std::unique_ptr<Transfer> transfer_;
};

DeviceQueue::DeviceQueue(const DevicePlace& place)
    : place_(place), stream_(place.device), posted_(place.device) {}

void DeviceQueue::follow_compute() {
  record(posted_, place_.compute);
  wait(stream_, posted_);
}

OwnedEvent DeviceQueue::mark() const {
  OwnedEvent event(place_.device);
  record(event, stream_);
  return event;
}

DeviceBuffer DeviceQueue::take_scratch(std::size_t bytes) {
  const auto found = std::find_if(free_.begin(), free_.end(), [&](const DeviceBuffer& b) {
    return b.bytes() >= bytes && b.bytes() <= 2 * rounded(bytes);
  });
  if (found == free_.end()) return DeviceBuffer(place_.device, rounded(bytes), "sums over ranks");
  DeviceBuffer buffer = std::move(*found);
  free_.erase(found);
  return buffer;
}

void DeviceQueue::give_back(DeviceBuffer scratch) { free_.push_back(std::move(scratch)); }

PinnedBuffer PinnedPool::take(std::size_t bytes) {
  for (auto f = free_.begin(); f != free_.end(); ++f) {
    if (f->buffer.bytes() < bytes || f->buffer.bytes() > 2 * rounded(bytes)) continue;
    if (Event(f->event).handle() != nullptr && !reached(f->event)) continue;
    PinnedBuffer buffer = std::move(f->buffer);
    free_.erase(f);
    return buffer;
  }
  return PinnedBuffer(rounded(bytes), "messages between ranks");
}

void PinnedPool::give_back(PinnedBuffer buffer, OwnedEvent event) {
  free_.push_back({std::move(buffer), std::move(event)});
}

std::unique_ptr<Transfer> DeviceMessages::send(DeviceQueue& queue, Peer to, std::uint32_t channel,
                                               const Envelope& envelope,
                                               std::span<const std::byte> data) {
  if (NcclGroup* const nccl = queue.nccl()) {
    nccl->send(to.in_group, data);
    return link_.send(to.in_world, channel, envelope, {});
  }
  if (direct()) {
    return std::make_unique<DirectSend>(link_, queue, to.in_world, channel, envelope, data);
  }
  return std::make_unique<StagedSend>(*this, queue, to.in_world, channel, envelope, data);
}

std::unique_ptr<Transfer> DeviceMessages::receive(DeviceQueue& queue, Peer from,
                                                  std::uint32_t channel, Envelope& envelope,
                                                  std::span<std::byte> data) {
  if (NcclGroup* const nccl = queue.nccl()) {
    nccl->receive(from.in_group, data);
    return link_.receive(from.in_world, channel, envelope, {});
  }
  if (direct()) {
    return std::make_unique<DirectReceive>(link_, *this, queue, from.in_world, channel, envelope,
                                           data);
  }
  return std::make_unique<StagedReceive>(*this, queue, from.in_world, channel, envelope, data);
}

// One after the other, as far as they have come: a channel keeps the order of its messages.
void DeviceMessages::start_copied() {
  while (!copying_.empty() && reached(copying_.front()->copied())) {
    StagedSend& next = *copying_.front();
    copying_.pop_front();
    next.start();
  }
}

void DeviceMessages::reach(int device) {
  if (reached_.contains(device)) return;
  connect(place_.device, {DeviceKind::cuda, device});
  reached_.insert(device);
}

void DeviceMessages::end_nccl() {
  std::vector<std::shared_ptr<NcclGroup>> all;
  for (const std::weak_ptr<NcclGroup>& one : nccl_) {
    if (std::shared_ptr<NcclGroup> nccl = one.lock()) all.push_back(std::move(nccl));
  }
  NcclGroup::abort(all);
}

bool DeviceMessages::wait_for_copy() {
  if (copying_.empty()) return false;
  synchronise(copying_.front()->copied());
  start_copied();
  return true;
}

}  // namespace mixspan
