#include "parallel/comm_history.h"

#include <fmt/core.h>

#include <algorithm>

namespace mixspan {

std::string_view name_of(Operation operation) {
  switch (operation) {
    case Operation::exchange:
      return "exchange";
    case Operation::all_gather:
      return "all_gather";
    case Operation::reduce_scatter_sum:
      return "reduce_scatter_sum";
    case Operation::all_reduce_sum:
      return "all_reduce_sum";
    case Operation::all_to_all:
      return "all_to_all";
    case Operation::broadcast:
      return "broadcast";
    case Operation::scalar_sum:
      return "scalar_sum";
    case Operation::scalar_max:
      return "scalar_max";
    case Operation::barrier:
      return "barrier";
    case Operation::split:
      return "split";
  }
  return "?";
}

std::string Envelope::call() const {
  const std::string of_layer = layer < 0 ? "" : fmt::format(" of layer {}", layer);
  return fmt::format("{} \"{}\"{} (call {})", name_of(operation), what.data(), of_layer, sequence);
}

std::int64_t History::begin(const std::string& axis, const Envelope& envelope,
                            Clock::time_point when) {
  entries_[static_cast<std::size_t>(begun_ % kKept)] = {axis, envelope, when, {}, false};
  return begun_++;
}

void History::finish(std::int64_t number, std::int64_t bytes_sent, Clock::time_point when) {
  if (number < begun_ - kKept) return;  // no longer kept
  Entry& entry = entries_[static_cast<std::size_t>(number % kKept)];
  entry.envelope.bytes = bytes_sent;
  entry.end = when;
  entry.finished = true;
}

std::string History::str() const {
  const Clock::time_point now = Clock::now();
  std::string lines;
  for (std::int64_t i = std::max<std::int64_t>(0, begun_ - kKept); i < begun_; ++i) {
    const Entry& e = entries_[static_cast<std::size_t>(i % kKept)];
    const std::chrono::duration<double> seconds = (e.finished ? e.end : now) - e.begin;
    lines +=
        fmt::format("\n  {} {}, {} bytes sent: {} {:.6f} s", e.axis, e.envelope.call(),
                    e.envelope.bytes, e.finished ? "done in" : "NOT DONE after", seconds.count());
  }
  return lines;
}

}  // namespace mixspan
