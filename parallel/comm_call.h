// One call of a communicator while it is under way: its messages, and what follows them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/trace.h"
#include "kernels/ordered_sum.h"
#include "parallel/comm_endpoint.h"
#include "parallel/communicator.h"

namespace mixspan {

/// What a communicator and its calls share.
struct Group {
  struct Count {
    std::int64_t calls = 0, bytes_sent = 0;
    double wait_seconds = 0;
  };

  std::shared_ptr<Endpoint> endpoint;
  std::vector<int> members;  ///< their ranks in the world
  int rank = 0;              ///< of this one among them
  std::string axis;
  std::uint32_t channel = 0;
  std::unique_ptr<DeviceQueue> queue;  ///< of calls on device memory; made with the first

  std::int64_t calls = 0;
  std::int64_t two_step_calls = 0, second_steps = 0;  ///< made; begun
  std::map<std::tuple<Operation, std::string_view, std::int64_t>, Count> counts;
  std::vector<std::optional<Envelope>> heard;  ///< the last message of each
  Tracer* tracer = nullptr;

  int size() const { return static_cast<int>(members.size()); }
  std::string name(int of) const;  ///< "rank 1 of cp (3 in the world)"
};

class GroupCall final : public Pending::Work {
 public:
  using Clock = Transfer::Clock;

  /// queue: of the group where the call's views lie on a device, else null.
  GroupCall(std::shared_ptr<Group> group, Operation operation, const Call& call,
            DeviceQueue* queue);
  ~GroupCall() override;
  GroupCall(const GroupCall&) = delete;
  GroupCall& operator=(const GroupCall&) = delete;

  void send(int to, ConstView data);
  void receive(int from, View data);
  /// Memory that lives as long as the call, where its views lie.
  std::byte* scratch(std::size_t bytes);
  /// sum_in_order of pieces there.
  void sum(DType dtype, const PiecesOfRanks& pieces, std::int64_t n) const;
  /// Runs once all messages so far are there.
  void then(std::function<void()> finish);
  /// The same, for a `second_step` with messages of its own. NCCL, whose messages are in the order
  /// of a stream, gets it at posted() already.
  void then_send(std::function<void()> second_step);
  /// Everything has been posted.
  void posted();

  void advance();
  void wait() override;

 private:
  struct Message {
    std::unique_ptr<Transfer> transfer;  // null: at its end
    int peer;
    bool incoming;
    std::int64_t bytes;
    Envelope envelope;
  };

  void post(int peer, bool incoming, std::int64_t bytes,
            const std::function<std::unique_ptr<Transfer>(Envelope&, std::uint32_t)>& start);
  bool poll(Message& message);
  void check_envelope(const Message& message);
  bool messages_done();
  void launch();
  void complete();
  [[noreturn]] void fail_missing();
  std::string awaited() const;  // this call and the ranks that it waits for
  std::string traced_name(std::string_view prefix) const;
  Group::Count& count();

  std::shared_ptr<Group> group_;
  DeviceQueue* queue_;
  std::string_view what_;
  Envelope envelope_;  // its bytes: sent so far
  Clock::time_point begin_, end_;
  std::int64_t number_;                                // in the history
  std::vector<std::unique_ptr<std::byte[]>> scratch_;  // outlives the messages that fill it
  std::vector<DeviceBuffer> device_scratch_;
  OwnedEvent done_;               // on a device: all results are there
  std::deque<Message> messages_;  // which do not move
  std::function<void()> then_;
  std::int64_t turn_ = -1;  // of the second steps of the group; -1: has none
  bool second_ = false;     // messages are those of the second step
  bool complete_ = false;
};

}  // namespace mixspan
