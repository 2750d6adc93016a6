// Messages between tensors that lie on devices: the work of moving them goes to streams, and the
// host only learns that it was given. Between threads of one process the receiver's device copies
// from the sender's memory; else NCCL moves the bytes, or they pass through pinned memory and the
// link.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include "core/device.h"
#include "parallel/communicator.h"
#include "parallel/handovers.h"
#include "parallel/link.h"
#include "parallel/nccl.h"

namespace mixspan {

/// The stream of one group: calls of several axes do not wait for each other's messages. Its
/// scratch memory is used in the order of that stream alone.
class DeviceQueue {
 public:
  explicit DeviceQueue(const DevicePlace& place);

  Device device() const { return place_.device; }
  Stream stream() const { return stream_; }
  /// What the queue gets from here on follows all that the compute stream has got.
  void follow_compute();
  /// What the compute stream gets from here on follows `event`.
  void let_compute_follow(Event event) const { wait(place_.compute, event); }
  /// A copy in the order of the compute stream.
  void copy_in_compute(void* to, const void* from, std::size_t bytes) const {
    copy_bytes(place_.compute, to, from, bytes);
  }
  /// An event after all that the queue has got.
  OwnedEvent mark() const;

  /// Where NCCL moves this group's messages it does so at launch(), and nothing waits for the host.
  void use_nccl(std::shared_ptr<NcclGroup> nccl) { nccl_ = std::move(nccl); }
  NcclGroup* nccl() const { return nccl_.get(); }
  void launch() {
    if (nccl_) nccl_->launch(stream_);
  }

  DeviceBuffer take_scratch(std::size_t bytes);
  void give_back(DeviceBuffer scratch);

 private:
  DevicePlace place_;
  OwnedStream stream_;
  OwnedEvent posted_;
  std::vector<DeviceBuffer> free_;
  std::shared_ptr<NcclGroup> nccl_;  // goes before the stream
};

/// Pinned memory, which is slow to get, kept for the next message.
class PinnedPool {
 public:
  PinnedBuffer take(std::size_t bytes);
  /// May be overwritten once `event` has come; at once without one.
  void give_back(PinnedBuffer buffer, OwnedEvent event = {});

 private:
  struct Free {
    PinnedBuffer buffer;
    OwnedEvent event;
  };
  std::vector<Free> free_;
};

/// Of one rank, beside its link; used by its thread.
class DeviceMessages {
 public:
  struct Peer {
    int in_group, in_world;
  };
  DeviceMessages(Link& link, const DevicePlace& place) : link_(link), place_(place) {}

  const DevicePlace& place() const { return place_; }
  /// As Link's, for device memory: the transfer's end is the moment at which the work that ends it
  /// has been given to the queue. In the queue's order a sent message may then be overwritten and a
  /// received one read. With NCCL the link carries the envelopes alone.
  std::unique_ptr<Transfer> send(DeviceQueue& queue, Peer to, std::uint32_t channel,
                                 const Envelope& envelope, std::span<const std::byte> data);
  std::unique_ptr<Transfer> receive(DeviceQueue& queue, Peer from, std::uint32_t channel,
                                    Envelope& envelope, std::span<std::byte> data);
  /// Another rank's device, whose memory this one's will read.
  void reach(int device);
  /// NCCL's ranks of one more group, which end_nccl() is to know of.
  void add(const std::shared_ptr<NcclGroup>& nccl) { nccl_.push_back(nccl); }
  /// The world has failed: ends what waits on the device for others, or freeing memory would wait.
  void end_nccl();

  /// Where messages are on their way to pinned memory: waits for the oldest and returns true. The
  /// link has no news of those.
  bool wait_for_copy();

 private:
  friend class StagedSend;
  friend class StagedReceive;

  bool direct() const {
    return link_.handovers() != nullptr && place_.transport == DeviceTransport::automatic;
  }
  void start_copied();

  Link& link_;
  DevicePlace place_;
  PinnedPool pinned_;
  std::set<int> reached_;
  std::vector<std::weak_ptr<NcclGroup>> nccl_;
  std::deque<class StagedSend*> copying_;  // to pinned memory, in the order they were posted
};

}  // namespace mixspan
