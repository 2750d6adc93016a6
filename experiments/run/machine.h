// What one process computes with: threads, scratch memory, tracer.
#pragma once

#include <memory>

#include "core/arena.h"
#include "core/exec.h"
#include "core/thread_pool.h"
#include "core/trace.h"

namespace mixspan {

class Machine {
 public:
  /// threads 0: one for each processor this process may use. `rank` names the trace.
  explicit Machine(int threads = 0, bool trace = false, int rank = 0)
      : threads_(threads),
        scratch_("scratch"),
        tracer_(trace ? std::make_unique<Tracer>(rank) : nullptr) {}

  Exec exec() {
    return Exec{.device = {}, .threads = threads_, .scratch = scratch_, .tracer = tracer_.get()};
  }
  const Arena& scratch() const { return scratch_; }
  const Tracer* tracer() const { return tracer_.get(); }

 private:
  ThreadPool threads_;
  Arena scratch_;
  std::unique_ptr<Tracer> tracer_;
};

}  // namespace mixspan
