// What the benchmarks of device kernels share: a device, random data, and times with a cold cache.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/copy.h"
#include "core/exec.h"
#include "core/tensor.h"
#include "kernels/cuda/libraries.h"

namespace mixspan::bench {

/// Datasheet figures of a device; 0 where it is not one of those known.
struct Peak {
  double bf16_flops = 0, bytes_per_second = 0;
};
Peak peak_of(const std::string& device_name);

class DeviceBench {
 public:
  /// On the first device. Prints its name, clock-independent figures and the version of the
  /// program.
  explicit DeviceBench(const cuda::LibraryOptions& options = {});

  const Exec& exec() const { return exec_; }
  const Peak& peak() const { return peak_; }

  /// Normal numbers times `scale`, on the device: zeros would draw less power and run faster.
  Tensor random(Shape shape, DType dtype, double scale = 1);
  Tensor empty(Shape shape, DType dtype) const { return Tensor(shape, dtype, exec_.device); }

  /// Median of `repeats` runs in milliseconds, after two that are not counted. Before each a buffer
  /// larger than any L2 cache is overwritten, so that what a run reads comes from memory.
  double median_ms(const std::function<void()>& run, int repeats = 20);

 private:
  static constexpr std::size_t kFlushBytes = std::size_t{256} << 20;

  Device device_{DeviceKind::cuda, 0};
  OwnedStream stream_;
  ThreadPool pool_{1};
  Arena scratch_;
  cuda::Libraries libraries_;
  Exec exec_;
  DeviceBuffer flush_;
  Tensor noise_;
  Peak peak_;
};

/// Runs body() with exit code 0; without a device says so in one line and gives 77, the code that
/// means "skipped"; on any other error 1.
int run_bench(const char* name, const std::function<void()>& body);

/// `part` as a percentage of `whole`, or "-" where that is 0.
std::string percent(double part, double whole);

}  // namespace mixspan::bench
