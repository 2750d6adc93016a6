#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "experiments/run/stop_signal.h"

namespace mixspan {
namespace {

TEST(StopSignal, NotesEachSignalAndRestoresWhatWasSet) {
  for (int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) {
    struct sigaction before {
    }, after{};
    sigaction(signal, nullptr, &before);
    {
      const StopSignal stop;
      EXPECT_EQ(stop.requested(), 0);
      raise(signal);
      EXPECT_EQ(stop.requested(), signal) << signal_name(signal);
    }
    sigaction(signal, nullptr, &after);
    EXPECT_EQ(after.sa_handler, before.sa_handler) << signal_name(signal);
  }
}

// oneDNN computes with the stack pointer in the heap, where a handler's frame would do damage.
TEST(StopSignal, HandlesSignalsOnAStackOfTheirOwn) {
  stack_t before{}, during{}, after{};
  sigaltstack(nullptr, &before);
  {
    const StopSignal stop;
    sigaltstack(nullptr, &during);
    EXPECT_EQ(during.ss_flags & SS_DISABLE, 0);
    EXPECT_GE(during.ss_size, std::size_t{32} << 10);
    for (int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) {
      struct sigaction now {};
      sigaction(signal, nullptr, &now);
      EXPECT_NE(now.sa_flags & SA_ONSTACK, 0) << signal_name(signal);
    }
    raise(SIGTERM);
    EXPECT_EQ(stop.requested(), SIGTERM);
  }
  sigaltstack(nullptr, &after);
  EXPECT_EQ(after.ss_sp, before.ss_sp);
  EXPECT_EQ(after.ss_flags, before.ss_flags);
}

TEST(StopSignal, KeepsTheFirst) {
  const StopSignal stop;
  raise(SIGUSR1);
  raise(SIGTERM);
  raise(SIGTERM);
  EXPECT_EQ(stop.requested(), SIGUSR1);
  EXPECT_EQ(signal_name(stop.requested()), "SIGUSR1");
}

TEST(StopSignal, StartsAnewAfterTheLastOne) {
  {
    const StopSignal stop;
    raise(SIGTERM);
  }
  const StopSignal stop;
  EXPECT_EQ(stop.requested(), 0);
}

TEST(StopSignal, HasOneOwner) {
  const StopSignal stop;
  EXPECT_THROW(StopSignal{}, Error);
}

TEST(StopSignal, ASecondInterruptEndsTheProcess) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const StopSignal stop;
    raise(SIGINT);
    if (stop.requested() != SIGINT) _exit(3);
    raise(SIGINT);
    _exit(4);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

}  // namespace
}  // namespace mixspan
