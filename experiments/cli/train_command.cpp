#include <fmt/format.h>

#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/run/run_config.h"
#include "experiments/run/step_profile.h"
#include "experiments/run/train.h"
#include "parallel/comm_mpi.h"

namespace mixspan {

namespace {

RunConfig config_of(const TrainArgs& a) {
  std::vector<std::string> sets = a.sets;
  if (!a.max_time.empty()) sets.push_back("train.max_time=" + a.max_time);
  return load_run_config(a.config, sets);
}

// `how`: what the person would change, "--ranks" or "mpirun -np".
TrainRequest request_of(const TrainArgs& a, int ranks, const char* how) {
  TrainRequest request;
  request.config = config_of(a);
  request.run_dir = a.run_dir.empty() ? std::filesystem::path("runs") / a.config.stem() : a.run_dir;
  request.profile = a.profile;
  require(
      !a.profile || request.config.train.steps > StepProfile::kWarmup,
      "--profile: leaves out the first {} steps, and train.steps = {}; wanted more, {} are best",
      StepProfile::kWarmup, request.config.train.steps, StepProfile::kWarmup + StepProfile::kSteps);
  const ParallelConfig& p = request.config.parallel;
  require(p.ranks() == ranks,
          "parallel.dp = {}, parallel.cp = {}, parallel.tp = {}: a mesh of {} ranks, and {} is {}; "
          "wanted {} {}, or another mesh",
          p.dp, p.cp, p.tp, p.ranks(), how, ranks, how, p.ranks());
  return request;
}

// What all ranks find wrong with their input only the first one says; what another one alone finds
// reaches the first as the reason of the end.
ExitCode train_under_mpi(const TrainArgs& a) {
  MpiWorld mpi;
  try {
    require(a.ranks == 1, "--ranks {} under MPI: wanted none, the launcher decides", a.ranks);
    TrainRequest request = request_of(a, mpi.size(), "mpirun -np");
    request.threads = mpi.processors();
    mpi.set_timeout(static_cast<double>(request.config.parallel.timeout_s));
    return train(request, mpi.communicator());
  } catch (const InputError& e) {
    if (mpi.rank() == 0) report_current_exception();
    mpi.abort(e.what(), kUsage);
    return kUsage;
  } catch (const std::exception& e) {
    const ExitCode code = report_current_exception();
    mpi.abort(e.what(), code);
    return code;
  }
}

}  // namespace

ExitCode train_command(const TrainArgs& a) {
  if (a.print_config) {
    fmt::print("{}", to_toml(config_of(a)));
    return kFinished;
  }
  if (launched_by_mpi()) return train_under_mpi(a);
  require(a.ranks >= 1, "--ranks {}: wanted 1 or more", a.ranks);
  TrainRequest request = request_of(a, a.ranks, "--ranks");
  request.thread_ranks = a.ranks;
  return train(request);
}

}  // namespace mixspan
