// What the program's exit status means. Scripts and sweeps depend on the numbers.
#pragma once

namespace mixspan {

enum ExitCode : int {
  kFinished = 0,
  kFailure = 1,
  kUsage = 2,     ///< bad usage, config or input
  kStopped = 75,  ///< saved a checkpoint after a signal or --max-time; the same command goes on
  kLost = 76,     ///< a peer rank, the run's lease or the watchdog was lost
};

}  // namespace mixspan
