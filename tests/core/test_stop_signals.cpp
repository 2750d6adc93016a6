// Threads that compute take no signals that ask the program to stop.
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <thread>

#include "core/stop_signals.h"
#include "core/thread_pool.h"

namespace mixspan {
namespace {

int blocked_stop_signals() {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  int blocked = 0;
  for (const int signal : kStopSignals) blocked += sigismember(&mask, signal);
  return blocked;
}

TEST(StopSignals, AreLeftToOthersByTheThreadAlone) {
  std::thread([] {
    EXPECT_EQ(blocked_stop_signals(), 0);
    leave_stop_signals_to_others();
    EXPECT_EQ(blocked_stop_signals(), 4);
  }).join();
  EXPECT_EQ(blocked_stop_signals(), 0);
}

TEST(StopSignals, ReachNoWorkerOfAPool) {
  ThreadPool pool(3);
  const std::thread::id self = std::this_thread::get_id();
  std::atomic<int> workers{0};
  for (int tries = 0; workers < 2 && tries < 100000; ++tries) {  // until workers got some of it
    pool.for_each(64, [&](std::int64_t, int) {
      if (std::this_thread::get_id() == self) return;
      EXPECT_EQ(blocked_stop_signals(), 4);
      ++workers;
    });
  }
  EXPECT_GE(workers, 2);
  EXPECT_EQ(blocked_stop_signals(), 0);
}

}  // namespace
}  // namespace mixspan
