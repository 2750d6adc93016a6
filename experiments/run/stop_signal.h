// A polite end: signals set a flag, and the trainer asks for it between two steps.
#pragma once

#include <signal.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "core/stop_signals.h"

namespace mixspan {

/// While one lives, SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 are noted instead of ending the process; a
/// second SIGINT ends it at once. The destructor restores what was set before. Only one may live at
/// a time, because signals belong to the process.
/// The thread that makes it (and must destroy it) handles signals on a stack of their own: matrix
/// products of oneDNN move the stack pointer into memory of the heap, and what a handler pushes
/// there would overwrite what lies below. The kernel prefers a process's first thread, so that is
/// the one that must make it where it computes. Other threads that compute leave these signals to
/// it (core/stop_signals.h).
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The first signal that came, or 0.
  int requested() const;

 private:
  std::array<struct sigaction, kStopSignals.size()> before_{};
  std::vector<std::byte> stack_;
  stack_t stack_before_{};
};

/// "SIGTERM"
std::string signal_name(int signal);

}  // namespace mixspan
