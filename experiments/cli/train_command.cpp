#include <fmt/format.h>

#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/run/run_config.h"
#include "experiments/run/train.h"

namespace mixspan {

ExitCode train_command(const TrainArgs& a) {
  require(a.ranks == 1, "--ranks {}: this version trains on one rank; wanted 1", a.ranks);
  std::vector<std::string> sets = a.sets;
  if (!a.max_time.empty()) sets.push_back("train.max_time=" + a.max_time);
  const RunConfig config = load_run_config(a.config, sets);
  if (a.print_config) {
    fmt::print("{}", to_toml(config));
    return kFinished;
  }
  const auto run_dir =
      a.run_dir.empty() ? std::filesystem::path("runs") / a.config.stem() : a.run_dir;
  return train({config, run_dir});
}

}  // namespace mixspan
