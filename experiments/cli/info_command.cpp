#include <fmt/format.h>

#include "core/build.h"
#include "core/cpu.h"
#include "core/device.h"
#include "core/durable_file.h"
#include "experiments/cli/commands.h"
#include "experiments/cost/machine_file.h"
#include "experiments/run/machine.h"
#include "experiments/run/progress.h"
#include "kernels/peak.h"

namespace mixspan {

namespace {

ExitCode write_machine_file(const Exec& ex, const std::filesystem::path& path) {
  MachineFile machine = measure_machine(ex);
  const std::string toml = fmt::format(
      "# Measured by `mixspan info --measure`, the links between two ranks that are threads. For\n"
      "# more than one machine write what their link does under [between].\n\n{}",
      schema_of(machine).to_toml());
  replace_file(path, toml);
  fmt::print(
      "measured: sgemm {}FLOP/s, attention {}FLOP/s, copies {}B/s, link {}B/s; written to {}\n",
      human_count(machine.gemm_flops), human_count(machine.attention_flops),
      human_count(machine.memory_bandwidth / 2), human_count(machine.inside.bytes_per_s),
      path.string());
  return kFinished;
}

// What a run with device=cuda would find here.
void print_devices() {
  if (const std::string why = why_no_device(); !why.empty()) {
    fmt::print("no CUDA device: {}\n", why);
    return;
  }
  for (int index = 0; index < device_count(); ++index) {
    const Device device{DeviceKind::cuda, index};
    const DeviceInfo info = describe(device);
    fmt::print("{}: {} ({:.1f} GiB, {} multiprocessors, compute capability {}.{})\n", device.str(),
               info.name, static_cast<double>(info.memory_bytes) / (1 << 30), info.sm_count,
               info.major, info.minor);
  }
}

}  // namespace

ExitCode info_command(const InfoArgs& a) {
  Machine machine;
  const Exec ex = machine.exec();
  fmt::print("mixspan {}\n", kBuildName);
  fmt::print("devices: cpu ({}; {} threads, {})\n", cpu_name(), ex.threads.size(), name_of(ex.isa));
  fmt::print("built with CUDA: {}\n", kHasCuda ? kCudaVersion : "no");
  print_devices();
  fmt::print("matrix products: {}\n", kBlas);
  fmt::print("ranks: one; mixspan train takes more as threads (--ranks N) or under mpirun\n");
  if (!a.measure.empty()) return write_machine_file(ex, a.measure);
  fmt::print("measured peak: sgemm {}FLOP/s on {} threads\n", human_count(measure_sgemm_peak(ex)),
             ex.threads.size());
  return kFinished;
}

}  // namespace mixspan
