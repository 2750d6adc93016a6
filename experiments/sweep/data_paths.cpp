#include "experiments/sweep/data_paths.h"

#include <algorithm>

#include "core/error.h"
#include "data/synthetic.h"
#include "experiments/sweep/launch_record.h"

namespace mixspan {

namespace fs = std::filesystem;

namespace {

bool any_has_begun(const fs::path& runs) {
  if (!fs::is_directory(runs)) return false;
  return std::any_of(fs::directory_iterator(runs), fs::directory_iterator(),
                     [](const auto& run) { return fs::exists(run.path() / "config.toml"); });
}

}  // namespace

DataConfig data_from(const fs::path& folder, DataConfig data) {
  for (std::string* path : {&data.train, &data.eval}) {
    if (!path->empty() && !is_synthetic(*path)) *path = (folder / *path).string();
  }
  return data;
}

fs::path paths_begin(const fs::path& out) {
  const fs::path record = out / "launch.toml";
  if (!fs::exists(record) || !any_has_begun(out / "runs")) return fs::current_path();
  fs::path begin = read_launch_record(record).working_dir;
  require(fs::is_directory(begin),
          "{}: launch.working_dir = \"{}\": is no folder any more, and relative paths in the runs' "
          "configs begin there; wanted its new place in that line",
          record.string(), begin.string());
  return begin;
}

}  // namespace mixspan
