// Asks how far a device has come, without waiting for it.
#pragma once

#include "core/stream.h"

namespace mixspan {

/// Whether what was before the event in its stream is done; true also for one never recorded.
bool reached(Event event);

}  // namespace mixspan
