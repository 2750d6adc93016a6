#include "experiments/sweep/local_launcher.h"

#include <fmt/ranges.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <thread>

#include "core/error.h"
#include "experiments/sweep/child_process.h"
#include "experiments/sweep/local_devices.h"

namespace mixspan {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPoll(20);
constexpr std::chrono::seconds kGlance(1);

std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  check(::sched_getaffinity(0, sizeof set, &set) == 0, "the processors cannot be listed");
  std::vector<int> processors;
  for (int p = 0; p < CPU_SETSIZE; ++p) {
    if (CPU_ISSET(p, &set)) processors.push_back(p);
  }
  return processors;
}

// A process that is at work in a run's folder, whoever started it; 0 where there is none.
std::int64_t writer_of(const std::filesystem::path& run_dir) {
  try {
    const std::optional<LeaseHolder> holder = lease_holder(run_dir);
    return holder && holder->alive_here ? holder->pid : 0;
  } catch (const InputError&) {
    return 0;  // damaged: the run itself will refuse it and say so
  }
}

class LocalSweep {
 public:
  LocalSweep(const SweepFolder& folder, const std::vector<SweepRun>& runs,
             const LocalRequest& request, SweepTable& table)
      : folder_(folder),
        runs_(runs),
        request_(request),
        table_(table),
        processors_(divide_processors(request.launch)),
        slots_(processors_.size()),
        devices_(request.devices) {
    const std::vector<std::string> names = names_of(runs);
    jobs_ = known_jobs(folder, names);
    sights_ = folder.look(names, jobs_.get());
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (needs_start(sights_[i]) || sights_[i].alive_here) waiting_.push_back(i);
    }
  }

  ~LocalSweep() { tell_all(); }  // before the first of them is waited for
  LocalSweep(const LocalSweep&) = delete;
  LocalSweep& operator=(const LocalSweep&) = delete;

  ExitCode go(const Lease& lease, const StopSignal& signals) {
    bool stopping = false;
    show();
    while (true) {
      if (Clock::now() - checked_ > kGlance) {
        lease.check();
        checked_ = Clock::now();
      }
      if (!stopping && signals.requested() != 0) {
        stopping = true;
        stop(signals.requested());
      }
      // Once more: one that is just starting may lose the first.
      if (stopping && Clock::now() - told_ > kGlance) tell_all();
      bool changed = reap(stopping);
      if (!stopping) changed = fill_slots() || changed;
      if (changed || (table_.live() && Clock::now() - shown_ > kGlance)) show();
      if (idle() && (stopping || waiting_.empty())) break;
      std::this_thread::sleep_for(kPoll);
    }
    return outcome(stopping);
  }

 private:
  struct Slot {
    std::optional<ChildProcess> child;
    std::size_t run = 0;
    std::vector<std::string> devices = {};
  };

  bool idle() const {
    return std::none_of(slots_.begin(), slots_.end(),
                        [](const Slot& s) { return s.child.has_value(); });
  }

  void stop(int signal) {
    table_.note(fmt::format("{}: the runs save and stop", signal_name(signal)));
    tell_all();
  }

  void tell_all() {
    told_ = Clock::now();
    for (Slot& slot : slots_) {
      if (slot.child) slot.child->signal(SIGTERM);
    }
  }

  bool reap(bool stopping) {
    bool changed = false;
    for (Slot& slot : slots_) {
      if (!slot.child) continue;
      const std::optional<int> code = slot.child->ended();
      if (!code) continue;
      settle(slot, *code, stopping);
      slot.child.reset();
      devices_.give_back(std::move(slot.devices));
      slot.devices.clear();
      look(slot.run);
      changed = true;
    }
    return changed;
  }

  // What remains to be done for a run whose process has ended.
  void settle(const Slot& slot, int code, bool stopping) {
    const bool fine = code == kFinished || code == kStopped || code == kLost;  // lost to another
    if (fine || (stopping && code == 128 + SIGTERM)) return;
    const std::string& name = runs_[slot.run].name;
    const std::filesystem::path run_dir = folder_.run_dir(name);
    if (writer_of(run_dir) != 0) {  // it was refused: another one is at work there
      waiting_.push_back(slot.run);
      return;
    }
    RunStatus status;
    try {
      status = read_status(run_dir).value_or(RunStatus{});
    } catch (const InputError&) {  // it only informs; this mends it
    }
    const bool own = status.pid == slot.child->pid();
    if (own && (status.state == RunState::failed || status.state == RunState::done)) return;
    status.state = RunState::failed;
    status.heartbeat = unix_time();
    status.host = host_name();
    status.pid = slot.child->pid();
    status.job_id.clear();
    status.last_error = code > 128
                            ? fmt::format("ended by {}{}", signal_text(code - 128),
                                          code == 128 + SIGKILL ? ", perhaps for its memory" : "")
                            : slot.child->last_words();
    if (status.last_error.empty()) status.last_error = fmt::format("exit code {}", code);
    try {
      std::filesystem::create_directories(run_dir);
      write_status(run_dir, status);
    } catch (const std::exception&) {  // its disk is full, say; the others may have another
      unsaid_[slot.run] = status.last_error;
    }
  }

  static std::string signal_text(int signal) {
    return signal == SIGKILL ? "SIGKILL" : signal_name(signal);
  }

  bool fill_slots() {
    bool changed = false;
    for (std::size_t s = 0; s < slots_.size() && !waiting_.empty(); ++s) {
      if (!slots_[s].child) changed = start_next(s) || changed;
    }
    return changed;
  }

  // The first waiting run where nobody else is at work, and whose devices are free, goes into slot
  // `s`.
  bool start_next(std::size_t s) {
    bool devices_waited_for = false;
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      const std::size_t run = *at;
      const std::int64_t needed = devices_of(runs_[run].config);
      const std::filesystem::path run_dir = folder_.run_dir(runs_[run].name);
      if (writer_of(run_dir) != 0 || is_locked(folder_.log(runs_[run].name))) {
        if (needed > 0) devices_waited_for = true;  // it has some, and nothing says which
        ++at;
        continue;
      }
      if (look(run).state == RunState::done) {  // by whoever was at work there
        at = waiting_.erase(at);
        continue;
      }
      std::optional<std::vector<std::string>> devices;
      if (needed == 0 || !devices_waited_for) devices = devices_.take(needed);
      if (!devices) {
        devices_waited_for = true;
        ++at;
        continue;
      }
      std::optional<ChildProcess> child;
      try {
        child = ChildProcess::start(child_request(run, s, *devices));
      } catch (const Error& error) {
        devices_.give_back(std::move(*devices));
        unsaid_[run] = error.what();
        at = waiting_.erase(at);
        look(run);
        continue;
      }
      if (!child) {
        devices_.give_back(std::move(*devices));
        ++at;
        continue;
      }
      waiting_.erase(at);
      slots_[s] = Slot{std::move(child), run, std::move(*devices)};
      sights_[run].state = RunState::running;
      sights_[run].note.clear();
      return true;
    }
    return false;
  }

  ChildRequest child_request(std::size_t run, std::size_t slot,
                             const std::vector<std::string>& devices) const {
    const SweepRun& r = runs_[run];
    ChildRequest request;
    request.arguments = {request_.program.string(), "train", folder_.config(r.name).string(),
                         "--run-dir", folder_.run_dir(r.name).string()};
    if (const std::int64_t ranks = r.config.parallel.ranks(); ranks > 1) {
      request.arguments.insert(request.arguments.end(), {"--ranks", std::to_string(ranks)});
    }
    request.log = folder_.log(r.name);
    request.working_dir = request_.working_dir;
    request.processors = processors_[slot];
    request.devices = fmt::format("{}", fmt::join(devices, ","));
    return request;
  }

  const RunSight& look(std::size_t run) {
    const std::string& name = runs_[run].name;
    sights_[run] = look_at(folder_.run_dir(name), name, jobs_.get());
    if (const auto why = unsaid_.find(run); why != unsaid_.end() && needs_start(sights_[run])) {
      sights_[run].state = RunState::failed;
      sights_[run].note = why->second;
    }
    return sights_[run];
  }

  void show() {
    for (const Slot& slot : slots_) {
      if (!slot.child) continue;
      // Until it has opened its folder, that tells of an earlier process.
      if (look(slot.run).alive_here || sights_[slot.run].state == RunState::done) continue;
      sights_[slot.run].state = RunState::running;
      sights_[slot.run].note.clear();
    }
    table_.show(sights_);
    shown_ = Clock::now();
  }

  ExitCode outcome(bool stopped) {
    for (std::size_t i = 0; i < runs_.size(); ++i) look(i);
    table_.show(sights_);
    const auto any = [&](const auto& holds) {
      return std::any_of(sights_.begin(), sights_.end(), holds);
    };
    if (!any([](const RunSight& s) { return s.state != RunState::done; })) return kFinished;
    if (stopped) return kStopped;
    return any([](const RunSight& s) { return s.state == RunState::failed; }) ? kFailure : kStopped;
  }

  const SweepFolder& folder_;
  const std::vector<SweepRun>& runs_;
  const LocalRequest& request_;
  SweepTable& table_;
  const std::vector<std::vector<int>> processors_;  // of each slot
  std::vector<Slot> slots_;
  DevicePool devices_;
  KnownJobs jobs_;
  std::vector<RunSight> sights_;
  std::deque<std::size_t> waiting_;
  std::map<std::size_t, std::string> unsaid_;  // why runs failed whose folder does not tell
  Clock::time_point shown_, checked_, told_;
};

}  // namespace

std::vector<std::vector<int>> divide_processors(const LocalLaunch& launch) {
  const std::vector<int> all = allowed_processors();
  const auto have = static_cast<std::int64_t>(all.size());
  const std::int64_t cores = launch.cores > 0  ? launch.cores
                             : launch.jobs > 0 ? std::max<std::int64_t>(1, have / launch.jobs)
                                               : have;
  require(cores <= have,
          "local.cores = {}: this process may use {} processors; wanted that or less", cores, have);
  const std::int64_t jobs = launch.jobs > 0 ? launch.jobs : have / cores;
  require(launch.cores == 0 || jobs * cores <= have,
          "local.jobs = {}, local.cores = {}: {} processors, and this process may use {}; wanted "
          "jobs x cores of that or less, or local.cores = 0",
          jobs, cores, jobs * cores, have);
  std::vector<std::vector<int>> parts(static_cast<std::size_t>(jobs));
  for (std::int64_t i = 0; i < jobs * cores; ++i) {
    // More jobs than processors share them.
    parts[static_cast<std::size_t>(i / cores)].push_back(all[static_cast<std::size_t>(i % have)]);
  }
  return parts;
}

ExitCode run_locally(const SweepFolder& folder, const std::vector<SweepRun>& runs,
                     const LocalRequest& request, const Lease& lease, const StopSignal& signals,
                     SweepTable& table) {
  return LocalSweep(folder, runs, request, table).go(lease, signals);
}

}  // namespace mixspan
