#include "experiments/sweep/slurm_launcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <thread>

#include "core/durable_file.h"
#include "core/error.h"
#include "experiments/sweep/local_devices.h"
#include "experiments/sweep/slurm_client.h"
#include "experiments/sweep/slurm_script.h"

namespace mixspan {

namespace {

namespace fs = std::filesystem;
constexpr const char* kSignOfLife = "submitting.txt";  // as the job script has it

// One array each: runs of as many ranks on the same kind of device, as many as an array may have.
std::vector<SubmittedArray> divide_runs(const std::vector<SweepRun>& runs,
                                        const std::vector<RunSight>& sights, std::size_t most) {
  std::vector<SubmittedArray> arrays;
  std::map<std::pair<std::int64_t, bool>, std::size_t> open;  // by what they need: one with room
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (!needs_start(sights[i])) continue;
    const std::int64_t ranks = runs[i].config.parallel.ranks();
    const bool on_gpus = devices_of(runs[i].config) > 0;
    const auto found = open.find({ranks, on_gpus});
    if (found == open.end() || arrays[found->second].runs.size() == most) {
      open[{ranks, on_gpus}] = arrays.size();
      arrays.push_back({"", ranks, on_gpus, {}});
    }
    arrays[open[{ranks, on_gpus}]].runs.push_back(runs[i].name);
  }
  return arrays;
}

fs::path script_path(const SweepFolder& folder, std::size_t index) {
  return folder.slurm() / (index == 0 ? "array.sbatch" : fmt::format("array-{}.sbatch", index + 1));
}

void submit_array(const SweepFolder& folder, const SlurmRequest& request, std::size_t index,
                  SubmittedArray& array) {
  const fs::path script = script_path(folder, index);
  replace_file(script, array_script(request.launch,
                                    {request.name, array.ranks, array.on_gpus, array.runs.size(),
                                     folder.path(), request.program, request.working_dir}));
  array.job = submit(script);
}

void mark_queued(const SweepFolder& folder, const std::string& run, const std::string& job_id) {
  const fs::path run_dir = folder.run_dir(run);
  RunStatus status;
  try {
    if (const auto before = read_status(run_dir)) {
      status = *before;
      // A run counts its restarts when it is opened, but not the one after "queued".
      const bool opened = before->state != RunState::queued && fs::exists(run_dir / "config.toml");
      status.restarts += opened ? 1 : 0;
    }
  } catch (const InputError&) {  // it only informs; this mends it
  }
  status.state = RunState::queued;
  status.job_id = job_id;
  status.heartbeat = unix_time();
  status.host.clear();
  status.pid = 0;
  status.last_error.clear();
  fs::create_directories(run_dir);
  write_status(run_dir, status);
}

// Grows while a submission goes on, which may take long where there are many runs: a task that
// does not find its list yet sees that it is being made.
class SignOfLife {
 public:
  explicit SignOfLife(const SweepFolder& folder)
      : file_(folder.slurm() / kSignOfLife, std::ios::trunc) {}
  void grow() {
    file_ << '.' << std::flush;
  }  // where it cannot, the list will not be written either

 private:
  std::ofstream file_;
};

// Tasks wait for the list, so that none starts before its run is marked.
void announce(const SweepFolder& folder, const SubmittedArray& array, SignOfLife& sign) {
  for (std::size_t k = 0; k < array.runs.size(); ++k) {
    mark_queued(folder, array.runs[k], fmt::format("{}_{}", array.job, k));
    sign.grow();
  }
  replace_file(folder.slurm() / fmt::format("runs-{}.txt", array.job),
               fmt::format("{}\n", fmt::join(array.runs, "\n")));
}

void cancel_quietly(const std::vector<SubmittedArray>& arrays) {
  std::vector<std::string> jobs;
  for (const SubmittedArray& array : arrays) {
    if (!array.job.empty()) jobs.push_back(array.job);
  }
  try {
    cancel_jobs(jobs);
  } catch (const Error&) {  // what went wrong before matters more; the tasks find no list and end
  }
}

void remove_scripts(const SweepFolder& folder, std::size_t arrays) {
  std::error_code ignored;
  for (std::size_t i = 0; i < arrays; ++i) fs::remove(script_path(folder, i), ignored);
  fs::remove(folder.slurm() / kSignOfLife, ignored);
  fs::remove(folder.slurm(), ignored);  // where it is empty
}

bool goes_on(const RunSight& run) {
  return run.state == RunState::queued || run.state == RunState::running ||
         run.state == RunState::saving;
}

// Of moments: squeue asks a service that all users share.
constexpr std::chrono::seconds kAskSlurm(5);
constexpr std::chrono::milliseconds kPoll(50);

void wait_for(std::chrono::steady_clock::duration time, const StopSignal& signals) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (signals.requested() == 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

std::vector<SubmittedArray> submit_runs(const SweepFolder& folder,
                                        const std::vector<SweepRun>& runs,
                                        const SlurmRequest& request) {
  require_slurm();
  const std::vector<std::string> names = names_of(runs);
  const KnownJobs jobs = known_jobs(folder, names);
  std::vector<RunSight> sights;
  for (const std::string& name : names) {
    sights.push_back(look_at_state(folder.run_dir(name), name, jobs.get()));
  }
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, max_array_size()));
  std::vector<SubmittedArray> arrays = divide_runs(runs, sights, most);
  if (arrays.empty()) return arrays;
  fs::create_directories(folder.slurm());
  try {
    SignOfLife sign(folder);
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      submit_array(folder, request, i, arrays[i]);
      sign.grow();
    }
    for (const SubmittedArray& array : arrays) announce(folder, array, sign);
  } catch (...) {
    cancel_quietly(arrays);
    remove_scripts(folder, arrays.size());
    throw;
  }
  return arrays;
}

ExitCode watch_jobs(const SweepFolder& folder, const std::vector<std::string>& names,
                    const Lease& lease, const StopSignal& signals, SweepTable& table) {
  while (true) {
    lease.check();
    std::vector<RunSight> sights;
    try {
      const KnownJobs jobs = known_jobs(folder, names);
      sights = folder.look(names, jobs.get());
    } catch (const InputError&) {
      throw;
    } catch (const Error& error) {  // Slurm restarts now and then
      table.note(error.what());
      wait_for(kAskSlurm, signals);
      if (signals.requested() != 0) return kStopped;
      continue;
    }
    table.show(sights);
    if (std::none_of(sights.begin(), sights.end(), goes_on)) {
      const auto failed = [](const RunSight& run) { return run.state == RunState::failed; };
      const auto done = [](const RunSight& run) { return run.state == RunState::done; };
      if (std::any_of(sights.begin(), sights.end(), failed)) return kFailure;
      return std::all_of(sights.begin(), sights.end(), done) ? kFinished : kStopped;
    }
    wait_for(kAskSlurm, signals);
    if (signals.requested() != 0) return kStopped;
  }
}

}  // namespace mixspan
