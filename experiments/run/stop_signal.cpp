#include "experiments/run/stop_signal.h"

#include <atomic>

#include "core/error.h"

namespace mixspan {

namespace {

// A handler gets no argument of ours, so its flag must be static. Lock-free atomics are the other
// type, beside sig_atomic_t, that a handler may write, and other threads may read them.
std::atomic<int> first_signal{0};
std::atomic<bool> one_lives{false};
constexpr std::size_t kStackBytes = std::size_t{64} << 10;  // the registers alone may take 12 KiB
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void note_signal(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  if (signal != SIGINT) return;
  struct sigaction ends {};  // the next Ctrl-C is for somebody who does not want to wait
  ends.sa_handler = SIG_DFL;
  sigaction(SIGINT, &ends, nullptr);
}

}  // namespace

StopSignal::StopSignal() {
  check(!one_lives.exchange(true), "there is a StopSignal already, and signals have one owner");
  first_signal = 0;
  stack_.resize(kStackBytes);
  stack_t own{};
  own.ss_sp = stack_.data();
  own.ss_size = stack_.size();
  check(sigaltstack(&own, &stack_before_) == 0, "signals can have no stack of their own");
  struct sigaction note {};
  note.sa_handler = note_signal;
  note.sa_flags = SA_RESTART | SA_ONSTACK;  // reads and writes under way must not fail
  sigemptyset(&note.sa_mask);
  for (std::size_t i = 0; i < kStopSignals.size(); ++i)
    sigaction(kStopSignals[i], &note, &before_[i]);
}

StopSignal::~StopSignal() {
  for (std::size_t i = 0; i < kStopSignals.size(); ++i)
    sigaction(kStopSignals[i], &before_[i], nullptr);
  sigaltstack(&stack_before_, nullptr);
  one_lives = false;
}

int StopSignal::requested() const { return first_signal; }

std::string signal_name(int signal) {
  switch (signal) {
    case SIGTERM:
      return "SIGTERM";
    case SIGINT:
      return "SIGINT";
    case SIGUSR1:
      return "SIGUSR1";
    case SIGUSR2:
      return "SIGUSR2";
    default:
      return fmt::format("signal {}", signal);
  }
}

}  // namespace mixspan
