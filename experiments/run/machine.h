// What one process computes with: threads, a device, scratch memory, tracer.
#pragma once

#include <memory>

#include "core/arena.h"
#include "core/device.h"
#include "core/exec.h"
#include "core/thread_pool.h"
#include "core/trace.h"
#include "kernels/cuda/libraries.h"

namespace mixspan {

/// Used by the thread that makes it. `libraries` matter on a device alone.
class Machine {
 public:
  /// threads 0: one for each processor this process may use. `rank` names the trace.
  explicit Machine(int threads = 0, bool trace = false, int rank = 0, Device device = {},
                   const cuda::LibraryOptions& libraries = {})
      : device_(on(device)),
        threads_(threads),
        stream_(device.is_cuda() ? OwnedStream(device) : OwnedStream()),
        libraries_(device.is_cuda() ? std::make_unique<cuda::Libraries>(device, libraries)
                                    : nullptr),
        scratch_("scratch", device),
        tracer_(trace ? std::make_unique<Tracer>(rank) : nullptr) {
    if (tracer_ && device.is_cuda()) tracer_->follow(device, stream_);
  }

  Exec exec() {
    return Exec{.device = device_,
                .stream = stream_,
                .threads = threads_,
                .libraries = libraries_.get(),
                .scratch = scratch_,
                .tracer = tracer_.get()};
  }
  Exec exec(Precision precision) {
    Exec ex = exec();
    ex.precision = precision;
    return ex;
  }
  const Arena& scratch() const { return scratch_; }
  const Tracer* tracer() const { return tracer_.get(); }

 private:
  static Device on(Device device) {
    if (device.is_cuda()) use_device(device);
    return device;
  }

  Device device_;
  ThreadPool threads_;
  OwnedStream stream_;
  std::unique_ptr<cuda::Libraries> libraries_;
  Arena scratch_;
  std::unique_ptr<Tracer> tracer_;
};

}  // namespace mixspan
