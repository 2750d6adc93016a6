#include <fmt/format.h>

#include "core/build.h"
#include "core/cpu.h"
#include "experiments/cli/commands.h"
#include "experiments/run/machine.h"
#include "experiments/run/progress.h"
#include "kernels/peak.h"

namespace mixspan {

ExitCode info_command() {
  Machine machine;
  const Exec ex = machine.exec();
  fmt::print("mixspan {}\n", kBuildName);
  fmt::print("devices: cpu ({}; {} threads, {})\n", cpu_name(), ex.threads.size(), name_of(ex.isa));
  fmt::print("matrix products: {}\n", kBlas);
  fmt::print("ranks: one process, one rank\n");
  fmt::print("measured peak: sgemm {}FLOP/s on {} threads\n", human_count(measure_sgemm_peak(ex)),
             ex.threads.size());
  return kFinished;
}

}  // namespace mixspan
