#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include "core/device.h"
#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/cli/run_sweep.h"
#include "experiments/run/lease.h"
#include "experiments/run/machine.h"
#include "experiments/run/stop_signal.h"
#include "experiments/sweep/data_paths.h"
#include "experiments/sweep/launch_record.h"
#include "experiments/sweep/local_devices.h"
#include "experiments/sweep/local_launcher.h"
#include "experiments/sweep/slurm_client.h"
#include "experiments/sweep/slurm_launcher.h"
#include "experiments/sweep/sweep_file.h"
#include "experiments/sweep/sweep_folder.h"
#include "experiments/sweep/sweep_plan.h"
#include "experiments/sweep/sweep_table.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;

// A lease says who runs the sweep, as it does of a run.
Lease take_sweep(const SweepFolder& folder) {
  const std::optional<LeaseHolder> holder = lease_holder(folder.path());
  require(!holder || !holder->alive_here,
          "{}: process {} on this host runs this sweep; wait for it, `mixspan sweep cancel` it, or "
          "give another --out",
          folder.path().string(), holder ? holder->pid : 0);
  return Lease::take(folder.path(), 0);
}

void say_failures(const SweepFolder& folder, const std::vector<RunSight>& sights) {
  for (const RunSight& run : sights) {
    if (run.state != RunState::failed) continue;
    fmt::print(stderr, "mixspan: {}: failed: {}; see {}\n", run.name, run.note,
               run.job_id.empty() ? folder.log(run.name).string() : folder.slurm().string());
  }
}

// The end of a sweep that was waited for.
ExitCode close(const SweepFolder& folder, const std::vector<std::string>& names,
               const SweepTable& table, ExitCode code) {
  std::vector<RunSight> sights = folder.look(names, known_jobs(folder, names).get());
  for (RunSight& run : sights) {  // a full disk holds no word of its run's failure
    const RunSight* last = table.shown(run.name);
    if (last != nullptr && last->state == RunState::failed && needs_start(run)) run = *last;
  }
  if (!table.live()) {
    for (const std::string& line : table_lines(sights)) fmt::print("{}\n", line);
    fmt::print("{}\n", summary_line(sights));
  }
  std::fflush(stdout);
  say_failures(folder, sights);
  return code;
}

void say_submitted(const SweepFolder& folder, const std::vector<SubmittedArray>& arrays) {
  for (const SubmittedArray& array : arrays) {
    fmt::print("job {}: {} run{} of {} rank{} each\n", array.job, array.runs.size(),
               array.runs.size() == 1 ? "" : "s", array.ranks, array.ranks == 1 ? "" : "s");
  }
  fmt::print("{}; watch with: mixspan sweep status {}\n",
             arrays.empty() ? "nothing to submit" : "submitted", folder.path().string());
  std::fflush(stdout);
}

std::vector<std::string> usable_devices() {
  return device_names(device_count(), std::getenv("CUDA_VISIBLE_DEVICES"));
}

// Those of `runs` that a start of the sweep starts.
std::vector<SweepRun> to_start(const SweepFolder& folder, std::vector<SweepRun> runs) {
  std::erase_if(runs, [&](const SweepRun& run) {
    return !needs_start(look_at_state(folder.run_dir(run.name), run.name, nullptr));
  });
  return runs;
}

// One go over `runs`: all of those that need it are started. Slurm's are waited for on request.
// `undo` has what was done for that: it stays once they are.
ExitCode launch(const SweepFolder& folder, const std::vector<SweepRun>& runs,
                const LaunchRecord& how, bool wait, const Lease& lease, const StopSignal& signals,
                SweepTable& table, Undo& undo) {
  if (how.launcher == "local") {
    const std::vector<std::string> devices = usable_devices();
    const auto count = static_cast<std::int64_t>(devices.size());
    require_devices(to_start(folder, runs), count);
    undo.keep();
    const LocalRequest request{with_devices(how.local, runs, count), "/proc/self/exe",
                               how.working_dir, devices};
    return run_locally(folder, runs, request, lease, signals, table);
  }
  const SlurmRequest request{how.slurm, folder.path().filename().string(),
                             fs::read_symlink("/proc/self/exe"), how.working_dir};
  lease.check();
  const std::vector<SubmittedArray> arrays = submit_runs(folder, runs, request);
  undo.keep();
  say_submitted(folder, arrays);
  return wait ? watch_jobs(folder, names_of(runs), lease, signals, table) : kFinished;
}

// What can be refused without touching the folder.
void require_launcher(const LaunchRecord& how, bool wait) {
  require(!wait || how.launcher == "slurm",
          "--wait: the launcher is {}, which always waits; wanted --wait with slurm only",
          how.launcher);
  if (how.launcher == "slurm") {
    require_slurm();
  } else {
    divide_processors(how.local);
  }
}

ExitCode dry_run(const SweepFile& file, const LaunchRecord& how, const std::vector<SweepRun>& runs,
                 const fs::path& machine_file) {
  const MachineFile machine =
      machine_file.empty() ? measure_machine(Machine().exec()) : load_machine_file(machine_file);
  std::int64_t jobs =
      how.slurm.max_at_once > 0 ? how.slurm.max_at_once : static_cast<std::int64_t>(runs.size());
  if (how.launcher == "local") {
    const auto devices = static_cast<std::int64_t>(usable_devices().size());
    jobs =
        static_cast<std::int64_t>(divide_processors(with_devices(how.local, runs, devices)).size());
  }
  jobs = std::min(jobs, static_cast<std::int64_t>(runs.size()));
  const std::int64_t sharing = how.launcher == "local" ? jobs : 1;  // of one machine
  fmt::print("{}",
             dry_run_table(plan_runs(runs, machine, sharing, how.working_dir), machine.name, jobs));
  if (file.is_search()) fmt::print("a search: further runs follow from the losses of these\n");
  return kFinished;
}

// Those of `runs` that `before` does not have.
std::vector<SweepRun> new_of(const std::vector<SweepRun>& runs,
                             const std::vector<SweepRun>& before) {
  const std::vector<std::string> known = names_of(before);
  std::vector<SweepRun> fresh;
  std::copy_if(runs.begin(), runs.end(), std::back_inserter(fresh), [&](const SweepRun& run) {
    return std::find(known.begin(), known.end(), run.name) == known.end();
  });
  return fresh;
}

}  // namespace

fs::path sweep_out(const SweepFile& file, const SweepArgs& a) {
  return a.out.empty() ? fs::path("runs") / file.name() : a.out;
}

ExitCode sweep_command(const SweepArgs& a) {
  require(!a.file.empty(),
          "sweep: wanted a sweep file, or status, cancel or retry and the folder of a sweep; see "
          "mixspan sweep --help");
  return run_sweep(SweepFile::load(a.file, a.sets), a);
}

ExitCode run_sweep(const SweepFile& file, const SweepArgs& a) {
  require(a.machine.empty() || a.dry_run,
          "--machine: is what a dry run plans for; wanted it with --dry-run only");
  const fs::path out = sweep_out(file, a);
  LaunchRecord how{a.launcher, paths_begin(out).string(), file.local(), file.slurm()};
  if (a.jobs > 0) (a.launcher == "local" ? how.local.jobs : how.slurm.max_at_once) = a.jobs;
  const LossOf loss = [&](const SweepRun& run) { return loss_of(out, run); };
  std::vector<SweepRun> runs = file.runs(loss);
  if (a.dry_run) return dry_run(file, how, runs, a.machine);
  require_launcher(how, a.wait);
  Undo undo;  // before the lease, whose file goes first
  const SweepFolder folder = SweepFolder::make(out, undo);
  const Lease lease = take_sweep(folder);
  const StopSignal signals;
  SweepTable table(stdout);
  ExitCode worst = kFinished;
  std::vector<SweepRun> started = runs;  // in this round
  while (true) {
    folder.require_same_configs(runs);
    undo.note(folder.launch_file());
    write_launch_record(folder.launch_file(), how);  // first: it says whose folder this is
    folder.write(file.text(), runs, undo);
    const ExitCode code = launch(folder, started, how, a.wait, lease, signals, table, undo);
    const bool waited = how.launcher == "local" || a.wait;
    if (file.is_search() && !waited) {
      fmt::print("a search: give the same command again when these are finished\n");
    }
    if (!waited) return code;
    if (code != kFinished) worst = code;
    const bool ended = code == kFinished || code == kFailure;
    if (!ended || !file.is_search()) return close(folder, names_of(runs), table, worst);
    // A failed run stops its own search alone, and is not tried again by the rounds of the others.
    std::vector<SweepRun> next = file.runs(loss);
    started = new_of(next, runs);
    runs = std::move(next);
    if (started.empty()) return close(folder, names_of(runs), table, worst);
  }
}

ExitCode sweep_status_command(const SweepStatusArgs& a) {
  const SweepFolder folder = SweepFolder::open(a.folder);
  const std::vector<std::string> names = folder.names();
  KnownJobs jobs;
  try {
    jobs = known_jobs(folder, names);
  } catch (const Error& error) {  // what the folders say is still worth something
    fmt::print(stderr, "mixspan: {}; shown is what the runs said last\n", error.what());
  }
  const std::vector<RunSight> sights = folder.look(names, jobs.get());
  if (a.json) {
    fmt::print("{}", to_json(sights));
    return kFinished;
  }
  for (const std::string& line : table_lines(sights, LineStyle::of(stdout).width)) {
    fmt::print("{}\n", line);
  }
  fmt::print("{}\n", summary_line(sights));
  return kFinished;
}

ExitCode sweep_cancel_command(const SweepCancelArgs& a) {
  const SweepFolder folder = SweepFolder::open(a.folder);
  bool any = false;
  const auto stop = [&](const LeaseHolder& holder, const std::string& what) {
    any = true;
    if (!holder.alive_here) {
      fmt::print(stderr, "mixspan: {}: process {} on {} may be at work; cancel it there\n", what,
                 holder.pid, holder.host);
      return;
    }
    ::kill(static_cast<pid_t>(holder.pid), SIGTERM);
    fmt::print("{}: process {} saves and stops\n", what, holder.pid);
  };
  const std::vector<std::string> names = folder.names();
  const KnownJobs jobs = known_jobs(folder, names);
  const std::optional<LeaseHolder> runner = lease_holder(folder.path());
  const bool here = runner && runner->alive_here;
  if (runner && (here || runner->host != host_name())) stop(*runner, folder.path().string());
  std::vector<std::string> ids;
  for (const RunSight& run : folder.look(names, jobs.get())) {
    if (jobs.states.contains(run.job_id)) {
      ids.push_back(run.job_id);
    } else if (run.alive_here && !here) {  // else its runner passes it on
      const std::optional<LeaseHolder> writer = lease_holder(folder.run_dir(run.name));
      if (writer && writer->alive_here) stop(*writer, run.name);
    }
  }
  cancel_jobs(ids);
  if (!ids.empty()) fmt::print("cancelled {} job{}\n", ids.size(), ids.size() == 1 ? "" : "s");
  if (!any && ids.empty()) fmt::print("{}: nothing runs\n", folder.path().string());
  return kFinished;
}

ExitCode sweep_retry_command(const SweepRetryArgs& a) {
  const SweepFolder folder = SweepFolder::open(a.folder);
  const LaunchRecord how = read_launch_record(folder.launch_file());
  require_launcher(how, a.wait);
  const std::vector<std::string> known = folder.names();
  for (const std::string& name : a.names) {
    require(std::find(known.begin(), known.end(), name) != known.end(),
            "{}: has no run {}; `mixspan sweep status` lists them", folder.path().string(), name);
  }
  const Lease lease = take_sweep(folder);
  std::vector<std::string> names = known;
  if (!a.names.empty()) {  // each once, in their order in the sweep
    std::erase_if(names, [&](const std::string& name) {
      return std::find(a.names.begin(), a.names.end(), name) == a.names.end();
    });
  }
  std::vector<SweepRun> runs;
  for (const RunSight& run : folder.look(names, known_jobs(folder, names).get())) {
    if (!needs_start(run) || (a.names.empty() && !run.state)) continue;
    runs.push_back({run.name, load_run_config(folder.config(run.name), {}), {}});
  }
  if (runs.empty()) {
    fmt::print("{}: no run failed or was interrupted\n", folder.path().string());
    return kFinished;
  }
  const StopSignal signals;
  SweepTable table(stdout);
  Undo nothing;
  const ExitCode code = launch(folder, runs, how, a.wait, lease, signals, table, nothing);
  const bool waited = how.launcher == "local" || a.wait;
  return waited ? close(folder, names_of(runs), table, code) : code;
}

}  // namespace mixspan
