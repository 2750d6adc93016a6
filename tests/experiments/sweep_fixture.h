// A small sweep: runs that take moments, in a folder that is fast to sync.
#pragma once

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <vector>

#include "experiments/sweep/sweep_folder.h"
#include "tests/support/fixture.h"

namespace mixspan::test {

inline constexpr const char* kTinyBase = R"([model]
layers = 2
width = 16
heads = 2
context = 32
span = "sliding:8"
[data]
train = "synthetic:recall:distance=16,pairs=2"
[train]
steps = {}
batch_tokens = 64
[optimizer]
lr = 1e-2
[checkpoint]
every_steps = 4
keep = 2
[eval]
every_steps = 10
rows = 4
[log]
every_steps = 1
tensorboard = false
)";

/// Runs seed-1 .. seed-`count` of a config of `steps` steps, without a sweep file.
inline std::vector<SweepRun> tiny_runs(int count, const std::filesystem::path& folder,
                                       int steps = 12, const std::vector<std::string>& sets = {}) {
  const std::filesystem::path base = folder / "base.toml";
  write_file(base, fmt::format(kTinyBase, steps));
  std::vector<SweepRun> runs;
  for (int seed = 1; seed <= count; ++seed) {
    std::vector<std::string> all = sets;
    all.push_back(fmt::format("train.seed={}", seed));
    runs.push_back({fmt::format("seed-{}", seed),
                    load_run_config(base, all),
                    {{"train.seed", std::to_string(seed)}}});
  }
  return runs;
}

/// A sweep's folder, and files in it, that stay.
inline SweepFolder make_folder(const std::filesystem::path& out) {
  Undo undo;
  SweepFolder folder = SweepFolder::make(out, undo);
  undo.keep();
  return folder;
}
inline void write_folder(const SweepFolder& folder, const std::string& sweep_toml,
                         const std::vector<SweepRun>& runs) {
  Undo undo;
  folder.write(sweep_toml, runs, undo);
  undo.keep();
}

}  // namespace mixspan::test
