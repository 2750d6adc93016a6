// A polite end: signals set a flag, and the trainer asks for it between two steps.
#pragma once

#include <signal.h>

#include <array>
#include <string>

namespace mixspan {

/// While one lives, SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 are noted instead of ending the process; a
/// second SIGINT ends it at once. The destructor restores what was set before. Only one may live at
/// a time, because signals belong to the process.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The first signal that came, or 0.
  int requested() const;

 private:
  static constexpr std::array<int, 4> kSignals{SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
  std::array<struct sigaction, kSignals.size()> before_{};
};

/// "SIGTERM"
std::string signal_name(int signal);

}  // namespace mixspan
