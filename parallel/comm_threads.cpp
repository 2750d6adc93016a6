// Ranks that are threads: each has an inbox, into which the others copy their messages.
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/stop_signals.h"
#include "parallel/comm_group.h"
#include "parallel/handovers.h"
#include "parallel/thread_ranks.h"

namespace mixspan {

namespace {

using Clock = Transfer::Clock;

/// What came, or is to come, from one rank on one channel. Message i fills receipt i.
struct Lane {
  struct Message {
    Envelope envelope;
    std::unique_ptr<std::byte[]> data;
    Clock::time_point available;
  };
  std::int64_t sent = 0, receipts = 0;
  std::map<std::int64_t, Message> waiting;
};

struct Inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t news = 0;
  std::map<std::pair<int, std::uint32_t>, Lane> lanes;  // by sender and channel
};

class ThreadWorld {
 public:
  ThreadWorld(int ranks, LinkDelay delay)
      : inboxes_(static_cast<std::size_t>(ranks)), delay_(delay) {}

  int ranks() const { return static_cast<int>(inboxes_.size()); }
  Inbox& inbox(int rank) { return inboxes_[static_cast<std::size_t>(rank)]; }
  Handovers& handovers() { return handovers_; }

  Clock::time_point arrival(std::size_t bytes) const {
    double seconds = delay_.seconds_per_message;
    if (delay_.bytes_per_second > 0)
      seconds += static_cast<double>(bytes) / delay_.bytes_per_second;
    return Clock::now() +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }

  void abort(int rank, const std::string& reason) {
    {
      const std::lock_guard lock(mutex_);
      if (aborted_by_ >= 0) return;
      aborted_by_ = rank;
      reason_ = reason;
    }
    for (int r = 0; r < ranks(); ++r) wake(r);
  }
  void wake(int rank) {
    Inbox& one = inbox(rank);
    const std::lock_guard lock(one.mutex);
    ++one.news;
    one.changed.notify_all();
  }
  std::optional<std::string> aborted() const {
    const std::lock_guard lock(mutex_);
    return aborted_by_ < 0 ? std::nullopt : std::optional(reason_);
  }
  int aborted_by() const {
    const std::lock_guard lock(mutex_);
    return aborted_by_;
  }

 private:
  std::vector<Inbox> inboxes_;
  Handovers handovers_;
  LinkDelay delay_;
  mutable std::mutex mutex_;
  int aborted_by_ = -1;
  std::string reason_;
};

class Receipt final : public Transfer {
 public:
  Receipt(std::shared_ptr<ThreadWorld> world, Inbox& inbox, Lane& lane, Envelope& envelope,
          std::span<std::byte> data)
      : world_(std::move(world)), inbox_(inbox), lane_(lane), envelope_(envelope), data_(data) {
    const std::lock_guard lock(inbox_.mutex);
    number_ = lane_.receipts++;
  }

  std::optional<Clock::time_point> poll() override {
    Lane::Message message;
    {
      const std::lock_guard lock(inbox_.mutex);
      const auto found = lane_.waiting.find(number_);
      if (found == lane_.waiting.end() || found->second.available > Clock::now()) return {};
      message = std::move(found->second);
      lane_.waiting.erase(found);
    }
    envelope_ = message.envelope;
    if (!data_.empty() && std::cmp_equal(envelope_.bytes, data_.size())) {
      std::memcpy(data_.data(), message.data.get(), data_.size());
    }
    return message.available;
  }

 private:
  std::shared_ptr<ThreadWorld> world_;
  Inbox& inbox_;
  Lane& lane_;
  Envelope& envelope_;
  std::span<std::byte> data_;
  std::int64_t number_;
};

class ThreadLink final : public Link {
 public:
  ThreadLink(std::shared_ptr<ThreadWorld> world, int rank)
      : world_(std::move(world)), rank_(rank), inbox_(world_->inbox(rank)) {}

  int rank() const override { return rank_; }
  int size() const override { return world_->ranks(); }

  std::unique_ptr<Transfer> send(int to, std::uint32_t channel, const Envelope& envelope,
                                 std::span<const std::byte> data) override {
    const Clock::time_point available = world_->arrival(data.size());
    auto copy = std::make_unique_for_overwrite<std::byte[]>(data.size());
    if (!data.empty()) std::memcpy(copy.get(), data.data(), data.size());
    Inbox& inbox = world_->inbox(to);
    const std::lock_guard lock(inbox.mutex);
    Lane& lane = inbox.lanes[{rank_, channel}];
    lane.waiting[lane.sent++] = {envelope, std::move(copy), available};
    ++inbox.news;
    inbox.changed.notify_all();
    return nullptr;
  }

  std::unique_ptr<Transfer> receive(int from, std::uint32_t channel, Envelope& envelope,
                                    std::span<std::byte> data) override {
    return std::make_unique<Receipt>(world_, inbox_, lane(from, channel), envelope, data);
  }

  std::uint64_t news() override {
    const std::lock_guard lock(inbox_.mutex);
    return inbox_.news;
  }

  void wait_for_news(std::uint64_t seen, Clock::time_point until) override {
    std::unique_lock lock(inbox_.mutex);
    for (const auto& [key, lane] : inbox_.lanes) {  // what is delayed is no news when it is due
      for (const auto& [number, message] : lane.waiting) {
        if (number < lane.receipts) until = std::min(until, message.available);
      }
    }
    inbox_.changed.wait_until(lock, until, [&] { return inbox_.news != seen; });
  }

  Handovers* handovers() override { return &world_->handovers(); }
  void wake(int rank) override { world_->wake(rank); }

  void abort(const std::string& reason) override { world_->abort(rank_, reason); }
  std::optional<std::string> aborted() override { return world_->aborted(); }

 private:
  Lane& lane(int from, std::uint32_t channel) {
    const std::lock_guard lock(inbox_.mutex);
    return inbox_.lanes[{from, channel}];
  }

  std::shared_ptr<ThreadWorld> world_;
  int rank_;
  Inbox& inbox_;
};

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of an unknown kind";
  }
}

}  // namespace

void run_thread_ranks(int ranks, const ThreadRankOptions& options,
                      const std::function<void(std::unique_ptr<Communicator>)>& body) {
  check(ranks >= 1, "run_thread_ranks: {} ranks", ranks);
  const auto world = std::make_shared<ThreadWorld>(ranks, options.link_delay);
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(ranks));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      leave_stop_signals_to_others();
      try {
        body(make_world_communicator(std::make_unique<ThreadLink>(world, rank),
                                     options.timeout_seconds));
      } catch (...) {
        const std::exception_ptr error = std::current_exception();
        errors[static_cast<std::size_t>(rank)] = error;
        world->abort(rank, fmt::format("rank {} failed: {}", rank, message_of(error)));
      }
    });
  }
  threads.clear();  // joins
  const int first = world->aborted_by();
  if (first < 0) return;
  if (const std::exception_ptr& cause = errors[static_cast<std::size_t>(first)]) {
    std::rethrow_exception(cause);
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  throw CommunicationError(*world->aborted());
}

std::unique_ptr<Communicator> make_self_communicator() {
  return make_world_communicator(
      std::make_unique<ThreadLink>(std::make_shared<ThreadWorld>(1, LinkDelay{}), 0), 0);
}

}  // namespace mixspan
