// What a person can change where a run needs more memory than there is.
#pragma once

#include <functional>
#include <new>
#include <string>

#include "core/error.h"
#include "experiments/run/run_config.h"

namespace mixspan {

/// Changes of single keys that the plan says need less, each with what a rank would need: one line
/// that follows what did not fit. Without a known vocabulary (model.vocab = 0) there are no
/// numbers.
std::string memory_advice(const RunConfig& config);

/// body(); where memory ends in it throws InputError with what ended and the advice.
template <class Body>
auto with_memory_advice(const RunConfig& config, Body&& body) {
  try {
    return body();
  } catch (const OutOfMemory& e) {
    refuse("out of memory: {}; {}", e.what(), memory_advice(config));
  } catch (const std::bad_alloc&) {
    refuse("out of memory: the system gives the process no more; {}", memory_advice(config));
  }
}

}  // namespace mixspan
