// How messages get from one rank to another: what a backend has to offer. The collectives are
// written once, over this (comm_group.h).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace mixspan {

enum class Operation : std::uint8_t {
  exchange,
  all_gather,
  reduce_scatter_sum,
  all_reduce_sum,
  all_to_all,
  broadcast,
  scalar_sum,
  scalar_max,
  barrier,
  split,
};
std::string_view name_of(Operation);

/// Travels with each message, so that ranks that make different calls find out.
struct Envelope {
  std::int64_t sequence = 0;  ///< of the call in its group
  std::int64_t layer = -1;
  std::int64_t bytes = 0;       ///< of the message
  std::array<char, 39> what{};  ///< cut, ends in zero
  Operation operation = Operation::barrier;

  std::string call() const;  ///< `all_gather "keys" of layer 3 (call 17)`
};
static_assert(std::is_trivially_copyable_v<Envelope> && sizeof(Envelope) == 64);

/// One message, seen from one of its ends.
class Transfer {
 public:
  using Clock = std::chrono::steady_clock;
  /// A message that is still under way is given up: its memory is not touched from then on. No
  /// further message can be relied on after that.
  virtual ~Transfer() = default;
  /// Empty until the end of the transfer, then when that was or was first seen. Throws Error when
  /// the transfer failed.
  virtual std::optional<Clock::time_point> poll() = 0;
};

class Handovers;

/// The connections of one rank to all others. Used by one thread at a time.
///
/// Messages of one channel from one rank to another arrive in the order in which they were sent
/// and fill the receipts in the order in which those were posted.
class Link {
 public:
  virtual ~Link() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// `to` is another rank. `data` must stay as it is until the end of the transfer. Null: it has
  /// been copied, there is nothing to wait for.
  virtual std::unique_ptr<Transfer> send(int to, std::uint32_t channel, const Envelope& envelope,
                                         std::span<const std::byte> data) = 0;
  /// Overwrites `envelope` and `data`, which must live as long as the transfer. A message that has
  /// another size than `data` ends the transfer too, and leaves `data` as it was.
  virtual std::unique_ptr<Transfer> receive(int from, std::uint32_t channel, Envelope& envelope,
                                            std::span<std::byte> data) = 0;

  /// A number that changes when a poll may have another answer than before.
  virtual std::uint64_t news() = 0;
  /// Returns when news() is no longer `seen`, at `until`, or earlier.
  virtual void wait_for_news(std::uint64_t seen, Transfer::Clock::time_point until) = 0;

  /// Where the ranks are threads of one process what they share, else null.
  virtual Handovers* handovers() { return nullptr; }
  /// Changes the news() of another rank, where there are handovers.
  virtual void wake(int /*rank*/) {}

  /// Tells all ranks that the world has failed. Only the first reason counts.
  virtual void abort(const std::string& reason) = 0;
  /// The reason, once some rank has called abort().
  virtual std::optional<std::string> aborted() = 0;
};

}  // namespace mixspan
