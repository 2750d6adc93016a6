#include <fmt/format.h>

#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/run/run_config.h"
#include "experiments/run/train.h"

namespace mixspan {

ExitCode train_command(const TrainArgs& a) {
  require(a.ranks >= 1, "--ranks {}: wanted 1 or more", a.ranks);
  std::vector<std::string> sets = a.sets;
  if (!a.max_time.empty()) sets.push_back("train.max_time=" + a.max_time);
  const RunConfig config = load_run_config(a.config, sets);
  if (a.print_config) {
    fmt::print("{}", to_toml(config));
    return kFinished;
  }
  const auto run_dir =
      a.run_dir.empty() ? std::filesystem::path("runs") / a.config.stem() : a.run_dir;
  const RunConfig::Parallel& p = config.parallel;
  require(
      p.dp * p.cp * p.tp == a.ranks,
      "parallel.dp = {}, cp = {}, tp = {}: a mesh of {} ranks, and there {} {}; wanted --ranks {}",
      p.dp, p.cp, p.tp, p.dp * p.cp * p.tp, a.ranks == 1 ? "is" : "are", a.ranks,
      p.dp * p.cp * p.tp);
  TrainRequest request{config, run_dir};
  request.thread_ranks = a.ranks;
  return train(request);
}

}  // namespace mixspan
