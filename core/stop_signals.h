// The signals that ask a program to save and stop, and which threads they may reach.
#pragma once

#include <signal.h>

#include <array>

namespace mixspan {

inline constexpr std::array<int, 4> kStopSignals{SIGTERM, SIGINT, SIGUSR1, SIGUSR2};

/// The calling thread, and those that it will start, take none of them any more: others of the
/// process do. For threads that compute. A handler would run on their own stacks, and oneDNN's
/// matrix products move the stack pointer into memory of the heap: what is pushed there overwrites
/// what lies below.
void leave_stop_signals_to_others();

}  // namespace mixspan
