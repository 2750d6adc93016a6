#include "experiments/sweep/sweep_folder.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "core/durable_file.h"
#include "core/error.h"
#include "experiments/run/config_diff.h"
#include "experiments/run/run_directory.h"
#include "experiments/run/train.h"
#include "experiments/sweep/launch_record.h"
#include "experiments/sweep/slurm_client.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;

// A sweep that cannot write its folder has not begun: that is for the person to mend.
void or_refuse(const fs::path& out, const std::function<void()>& body) {
  try {
    body();
  } catch (const InputError&) {
    throw;
  } catch (const std::exception& error) {
    refuse(
        "{}: cannot hold a sweep: {}; wanted a folder that can be written and has room, or "
        "another --out",
        out.string(), error.what());
  }
}

// Disks that are full and quotas that are used up often still take a name, but no content.
void probe(const fs::path& folder) {
  const fs::path file = folder / ".probe";
  std::error_code ignored;
  try {
    replace_file(file, std::string(std::size_t{64} << 10, '\n'));
  } catch (const std::exception&) {
    fs::remove(fs::path(file) += ".tmp", ignored);
    throw;
  }
  fs::remove(file, ignored);
}

// What a sweep removes and replaces must be its own. It writes launch.toml before any config, so
// one that was killed in its first moments has at most an empty configs/.
void require_own(const SweepFolder& folder) {
  constexpr const char* kWanted =
      "wanted the folder of a sweep, a new one, or one without configs/, sweep.toml and "
      "launch.toml";
  const fs::path& out = folder.path();
  if (fs::exists(folder.launch_file())) {
    std::string problem = "it has no launch.working_dir";
    try {
      if (!read_launch_record(folder.launch_file()).working_dir.empty()) return;
    } catch (const InputError& error) {
      problem = error.what();
    }
    refuse("{}: its launch.toml is not that of a sweep ({}); {}", out.string(), problem, kWanted);
  }
  const fs::path configs = out / "configs";
  require(!fs::exists(folder.sweep_file()) && (!fs::exists(configs) || fs::is_empty(configs)),
          "{}: has {} but no launch.toml, so it is not the folder of a sweep; {}", out.string(),
          fs::exists(folder.sweep_file()) ? "a sweep.toml" : "configs/", kWanted);
}

// "a10" after "a9": runs of digits compare as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    const auto number = [&](const std::string& s, std::size_t& at) {
      const std::size_t begin = s.find_first_not_of('0', at);
      at = std::min(s.find_first_not_of("0123456789", at), s.size());
      return begin < at ? s.substr(begin, at - begin) : std::string();
    };
    const std::string x = number(a, i), y = number(b, j);
    if (x.size() != y.size()) return x.size() < y.size();
    if (x != y) return x < y;
  }
  if (a.size() - i != b.size() - j) return a.size() - i < b.size() - j;
  return a < b;
}

std::string shown(const std::string& value) { return value.empty() ? "nothing" : value; }

// What the run directory's config.toml says differently from what the sweep wants now. A vocabulary
// that the data decide is written there as they decided.
std::vector<ConfigDifference> changes_of(const fs::path& run_dir, const SweepRun& run) {
  const std::optional<std::string> old = text_of(run_dir / "config.toml");
  if (!old) return {};
  std::vector<ConfigDifference> changes = config_differences(*old, to_toml(run.config));
  std::erase_if(changes, [&](const ConfigDifference& d) {
    return d.key == "model.vocab" && run.config.model.vocab == 0;
  });
  return changes;
}

// Of what a run may change, this gives other results; the rest need not run it again.
bool changes_results(const ConfigDifference& d) {
  return matches_any(d.key, {"train.steps", "eval.*"});
}

void replace_if_different(const fs::path& file, const std::string& text, Undo& undo) {
  if (text_of(file) == text) return;
  undo.note(file);
  replace_file(file, text);
}

void remove(const fs::path& file, Undo& undo) {
  if (!fs::exists(file)) return;
  undo.note(file);
  fs::remove(file);
}

}  // namespace

SweepFolder::SweepFolder(const fs::path& path) : path_(fs::absolute(path).lexically_normal()) {
  if (!path_.has_filename()) path_ = path_.parent_path();  // it was written "runs/a/"
}

SweepFolder SweepFolder::make(const fs::path& out, Undo& undo) {
  SweepFolder folder(out);
  or_refuse(folder.path_, [&] {
    require_own(folder);
    for (const char* part : {"configs", "runs", "logs"}) undo.make_folders(folder.path_ / part);
    probe(folder.path_);
    probe(folder.path_ / "runs");
  });
  return folder;
}

SweepFolder SweepFolder::open(const fs::path& out) {
  require(fs::is_directory(out / "configs"),
          "{}: is not the folder of a sweep (it has no configs/); wanted the --out of `mixspan "
          "sweep`, by default runs/NAME-OF-SWEEP-FILE",
          out.string());
  return SweepFolder(out);
}

fs::path SweepFolder::config(const std::string& run) const {
  return path_ / "configs" / (run + ".toml");
}

fs::path SweepFolder::log(const std::string& run) const { return path_ / "logs" / (run + ".log"); }

void SweepFolder::require_same_configs(const std::vector<SweepRun>& runs) const {
  for (const SweepRun& run : runs) {
    const std::vector<std::string> allowed = may_change(run.config);
    for (const ConfigDifference& d : changes_of(run_dir(run.name), run)) {
      require(matches_any(d.key, allowed),
              "{}: run {} began with {} = {}, and the sweep now says {}; wanted the old value, "
              "another --out, or that folder moved away",
              run_dir(run.name).string(), run.name, d.key, shown(d.old_value), shown(d.new_value));
      if (d.key == "train.steps") require_steps(run_dir(run.name), run.config.train.steps);
    }
  }
}

void SweepFolder::write(const std::string& sweep_toml, const std::vector<SweepRun>& runs,
                        Undo& undo) const {
  or_refuse(path_, [&] {
    std::set<std::string> wanted;
    for (const SweepRun& run : runs) {
      wanted.insert(run.name);
      const std::vector<ConfigDifference> changes = changes_of(run_dir(run.name), run);
      if (std::any_of(changes.begin(), changes.end(), changes_results)) {
        remove(run_dir(run.name) / "result.json", undo);
      }
      replace_if_different(config(run.name), to_toml(run.config), undo);
    }
    for (const std::string& name : names()) {
      if (!wanted.contains(name) && !fs::exists(run_dir(name))) remove(config(name), undo);
    }
    if (!sweep_toml.empty()) replace_if_different(sweep_file(), sweep_toml, undo);
  });
}

std::vector<std::string> SweepFolder::names() const {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_ / "configs")) {
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end(), natural_less);
  return names;
}

std::vector<std::string> SweepFolder::job_ids(const std::vector<std::string>& names) const {
  std::vector<std::string> ids;
  for (const std::string& name : names) {
    const RunSight sight = look_at_state(run_dir(name), name, nullptr);
    if (sight.state != RunState::done && !sight.job_id.empty()) ids.push_back(sight.job_id);
  }
  return ids;
}

std::vector<RunSight> SweepFolder::look(const std::vector<std::string>& names,
                                        const JobStates* jobs) const {
  std::vector<RunSight> sights;
  sights.reserve(names.size());
  for (const std::string& name : names) sights.push_back(look_at(run_dir(name), name, jobs));
  return sights;
}

KnownJobs known_jobs(const SweepFolder& folder, const std::vector<std::string>& names) {
  const std::vector<std::string> ids = folder.job_ids(names);
  if (ids.empty() || !has_slurm()) return {};
  return KnownJobs{true, unfinished_jobs(ids)};
}

std::optional<double> loss_of(const fs::path& out, const SweepRun& run) {
  const fs::path run_dir = out / "runs" / run.name;
  const std::vector<std::string> allowed = may_change(run.config);
  for (const ConfigDifference& d : changes_of(run_dir, run)) {
    if (changes_results(d) || !matches_any(d.key, allowed)) return {};
  }
  return final_eval_loss(run_dir);
}

std::vector<std::string> names_of(const std::vector<SweepRun>& runs) {
  std::vector<std::string> names;
  for (const SweepRun& run : runs) names.push_back(run.name);
  return names;
}

}  // namespace mixspan
