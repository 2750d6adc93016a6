#include "core/stop_signals.h"

#include <pthread.h>

namespace mixspan {

void leave_stop_signals_to_others() {
  sigset_t stops;
  sigemptyset(&stops);
  for (const int signal : kStopSignals) sigaddset(&stops, signal);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
}

}  // namespace mixspan
