#include "experiments/run/train.h"

#include <algorithm>
#include <vector>

#include "experiments/run/device_choice.h"
#include "experiments/run/memory_advice.h"
#include "experiments/run/run.h"
#include "experiments/run/stop_signal.h"
#include "parallel/mesh.h"
#include "parallel/thread_ranks.h"

namespace mixspan {

namespace {

ExitCode run_on(const TrainRequest& request, const StopSignal& signals,
                std::unique_ptr<Communicator> world) {
  TrainRequest resolved = request;
  const Device device = device_of_rank(request.config, *world);
  resolved.config.device = device.is_cuda() ? "cuda" : "cpu";
  if (world->size() == 1) resolved.note = passed_over(request.config.device);
  validate(resolved.config);
  require_kernels(resolved.config, device);
  const Mesh mesh(std::move(world), request.config.parallel.shape());
  return with_memory_advice(resolved.config,
                            [&] { return Run(resolved, signals, mesh, device).go(); });
}

}  // namespace

ExitCode train(const TrainRequest& request, std::unique_ptr<Communicator> world) {
  const StopSignal signals;
  return run_on(request, signals, std::move(world));
}

ExitCode train(const TrainRequest& request) {
  if (request.thread_ranks == 1) return train(request, make_self_communicator());
  const StopSignal signals;  // of the process, for all of its ranks
  TrainRequest of_one = request;
  if (of_one.threads == 0) of_one.threads = available_processors();
  of_one.threads = std::max(1, of_one.threads / request.thread_ranks);
  std::vector<ExitCode> codes(static_cast<std::size_t>(request.thread_ranks));
  run_thread_ranks(request.thread_ranks,
                   {.timeout_seconds = static_cast<double>(request.config.parallel.timeout_s)},
                   [&](std::unique_ptr<Communicator> world) {
                     ExitCode& mine = codes[static_cast<std::size_t>(world->rank())];
                     mine = run_on(of_one, signals, std::move(world));
                   });
  for (const ExitCode code : codes) check(code == codes[0], "the ranks ended differently");
  return codes[0];
}

}  // namespace mixspan
