// Ranks that are threads of one process: for tests, and for trying out a mesh on one machine.
#pragma once

#include <functional>
#include <memory>

#include "parallel/communicator.h"

namespace mixspan {

/// An artificial delay between sending a message and its arrival, so that what hides behind
/// computation can be seen. Each message has it to itself: messages do not queue.
struct LinkDelay {
  double seconds_per_message = 0;
  double bytes_per_second = 0;  ///< 0: no limit
};

struct ThreadRankOptions {
  double timeout_seconds = 600;  ///< of a wait for another rank; 0: none
  LinkDelay link_delay = {};
};

/// Runs body(world) on `ranks` threads and returns when all have ended. What the body of one rank
/// throws makes the others throw when they next wait; it is thrown again here, after all have
/// ended. Messages are copied, so all that a rank sends is in memory until it is received.
void run_thread_ranks(int ranks, const ThreadRankOptions& options,
                      const std::function<void(std::unique_ptr<Communicator> world)>& body);

}  // namespace mixspan
