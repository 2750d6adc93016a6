// `mixspan sweep` on this machine, as a user meets it.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "experiments/run/exit_code.h"
#include "experiments/sweep/child_process.h"
#include "experiments/sweep/local_launcher.h"
#include "tests/experiments/run_files.h"
#include "tests/experiments/sweep_fixture.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

class SweepLaunch : public testing::Test {
 protected:
  void SetUp() override { sweep("[\"none\", \"bottom:1\"]", 10); }

  // Two placements or more times two seeds.
  void sweep(const std::string& placements, int steps, const std::string& more = "") const {
    write_file(at("base.toml"), fmt::format(kTinyBase, steps));
    write_file(at("s.toml"), fmt::format("[sweep]\nbase = \"base.toml\"\n[grid]\n"
                                         "model.full_layers = {}\ntrain.seed = [1, 2]\n{}",
                                         placements, more));
  }
  std::string at(const std::string& name) const { return scratch / name; }
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"sweep", at("s.toml"), "--out", at("out")};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  ProgramResult run(const std::vector<std::string>& more = {}) const {
    return mixspan(command(more));
  }
  nlohmann::json status() const {
    const ProgramResult r = mixspan({"sweep", "status", at("out"), "--json"});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return nlohmann::json::parse(r.out);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    const nlohmann::json now = status();
    for (const auto& run : now["runs"]) all.push_back(run["name"]);
    return all;
  }
  // How often each run was started, from its log.
  int starts(const std::string& name) const {
    const std::string log = read_file(fs::path(at("out")) / "runs" / name / "log.txt");
    int count = 0;
    for (std::size_t i = log.find("==== start"); i != log.npos; i = log.find("==== start", i + 1)) {
      ++count;
    }
    return count;
  }

  ScratchFolder scratch{memory_folder()};
};

TEST_F(SweepLaunch, RunsAllThenNothingThenOnlyWhatIsNew) {
  ProgramResult r = run({"--jobs", "2"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.out.find("4 runs: 4 done\n"), std::string::npos) << r.out;
  for (const std::string& name : names()) {
    EXPECT_EQ(metrics_of(fs::path(at("out")) / "runs" / name).size(), 11u) << name;
    EXPECT_EQ(starts(name), 1) << name;
  }
  EXPECT_EQ(read_file(at("out/sweep.toml")), read_file(at("s.toml")));

  r = run();
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(r.out.find("running"), std::string::npos) << r.out;

  const std::vector<std::string> before = names();
  sweep("[\"none\", \"bottom:1\", \"all\"]", 10);
  r = run();
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(names().size(), 6u);
  for (const std::string& name : names()) EXPECT_EQ(starts(name), 1) << name;
}

TEST_F(SweepLaunch, AFailedRunStopsNoOtherAndIsRetried) {
  const std::string corpus = at("missing.h5");
  sweep("[\"none\"]", 6,
        fmt::format("data.train = [\"synthetic:recall:distance=16,pairs=2\", \"{}\"]\n", corpus));
  ProgramResult r = run();
  EXPECT_EQ(r.exit_code, kFailure) << r.out;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 2) << r.err;
  EXPECT_NE(r.err.find("missing.h5"), std::string::npos) << r.err;
  EXPECT_EQ(status()["counts"]["done"], 2);
  EXPECT_EQ(status()["counts"]["failed"], 2);

  r = mixspan({"sweep", "retry", at("out"), "no-such-run"});
  EXPECT_EQ(r.exit_code, kUsage);
  EXPECT_NE(r.err.find("no-such-run"), std::string::npos) << r.err;
  const std::string text = read_file(MIXSPAN_SOURCE_DIR "/LICENSE");
  write_file(at("text.txt"), text);
  ASSERT_EQ(mixspan({"prepare", at("text.txt"), "--out", corpus, "--tokenizer", "byte"}).exit_code,
            0);
  const std::string name = [&] {
    const nlohmann::json now = status();
    for (const auto& one : now["runs"]) {
      if (one["state"] == "failed") return one["name"].get<std::string>();
    }
    return std::string();
  }();
  r = mixspan({"sweep", "retry", at("out"), name, name});
  EXPECT_EQ(r.exit_code, 0) << r.err << r.out;
  EXPECT_NE(r.out.find("\n1 run: 1 done\n"), std::string::npos) << r.out;
  r = mixspan({"sweep", "retry", at("out")});
  EXPECT_EQ(r.exit_code, 0) << r.err << r.out;
  EXPECT_EQ(status()["counts"]["done"], 4);
  EXPECT_NE(mixspan({"sweep", "retry", at("out")}).out.find("no run failed"), std::string::npos);
}

TEST_F(SweepLaunch, AFailedRunStopsItsOwnSearchOnly) {
  write_file(at("base.toml"), fmt::format(kTinyBase, 4));
  write_file(at("s.toml"), fmt::format("[sweep]\nbase = \"base.toml\"\n[study]\nkind = \"search\"\n"
                                       "budget = 1\n[grid]\ndata.train = [\"{}\", "
                                       "\"synthetic:recall:distance=16,pairs=2\"]\n",
                                       at("missing.h5")));
  const ProgramResult r = run();
  EXPECT_EQ(r.exit_code, kFailure) << r.out;
  EXPECT_EQ(status()["counts"]["done"], 4) << "none, two of one layer, all: " << r.out;
  EXPECT_EQ(status()["counts"]["failed"], 3);
  for (const auto& entry : fs::directory_iterator(at("out/logs"))) {
    const std::string log = read_file(entry.path());
    if (log.find("missing.h5") == log.npos) continue;
    EXPECT_EQ(log.find("mixspan: "), log.rfind("mixspan: ")) << "tried once: " << log;
  }
}

TEST_F(SweepLaunch, AFailureThatCannotBeWrittenDownStopsNoOther) {
  sweep("[\"none\"]", 4, "optimizer.lr = [1e-2, 2e-2, 3e-2]\n");
  fs::create_directories(at("out/logs"));
  fs::create_directories(at("out/runs"));
  write_file(at("out/runs/full_layers=none,seed=1,lr=0.01"), "not a folder");
  fs::create_directory(at("out/logs/full_layers=none,seed=1,lr=0.02.log"));
  const ProgramResult r = run({"--jobs", "1"});
  EXPECT_EQ(r.exit_code, kFailure) << r.out;
  EXPECT_NE(r.out.find("6 runs: 4 done, 2 failed"), std::string::npos) << r.out;
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 2) << r.err;
  EXPECT_NE(r.err.find("cannot be made a run directory"), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("lr=0.02.log: cannot be opened"), std::string::npos) << r.err;
}

TEST_F(SweepLaunch, ASignalSavesAndTheSameCommandGoesOn) {
  sweep("[\"none\", \"bottom:1\"]", 2000);
  Program runner([&] {
    std::vector<std::string> all = command({"--jobs", "2"});
    all.insert(all.begin(), mixspan_path());
    return all;
  }());
  const auto has_begun = [&] {
    int begun = 0;
    for (const auto& entry : fs::directory_iterator(scratch.path())) {
      if (entry.path().filename() != "out") continue;
      for (const auto& one : fs::recursive_directory_iterator(entry.path())) {
        begun += one.path().filename() == "metrics.jsonl" ? 1 : 0;
      }
    }
    return begun == 2;
  };
  while (runner.running() && !has_begun()) std::this_thread::yield();

  const ProgramResult second = run();
  EXPECT_EQ(second.exit_code, kUsage);
  EXPECT_EQ(std::count(second.err.begin(), second.err.end(), '\n'), 1) << second.err;
  EXPECT_NE(second.err.find("runs this sweep"), std::string::npos) << second.err;

  const ProgramResult cancel = mixspan({"sweep", "cancel", at("out")});
  EXPECT_EQ(cancel.exit_code, 0) << cancel.err;
  EXPECT_NE(cancel.out.find("saves and stops"), std::string::npos) << cancel.out;
  const ProgramResult r = runner.wait();
  EXPECT_EQ(r.exit_code, kStopped) << r.out << r.err;
  const nlohmann::json now = status();
  EXPECT_EQ(now["counts"]["interrupted"], 2);
  EXPECT_EQ(now["counts"]["missing"], 2);
  for (const auto& one : now["runs"]) {
    if (one["state"] != "interrupted") continue;
    EXPECT_GT(one["step"], 0);
    const fs::path run = fs::path(at("out")) / "runs" / one["name"].get<std::string>();
    EXPECT_TRUE(fs::exists(run / "checkpoints/latest"));
  }
  EXPECT_NE(mixspan({"sweep", "cancel", at("out")}).out.find("nothing runs"), std::string::npos);
}

TEST_F(SweepLaunch, AChangedConfigIsRefusedBeforeAnythingStarts) {
  ASSERT_EQ(run().exit_code, 0);
  sweep("[\"none\", \"bottom:1\", \"all\"]", 10, "");
  std::string base = read_file(at("base.toml"));
  base.replace(base.find("lr = 1e-2"), 9, "lr = 2e-2");
  write_file(at("base.toml"), base);
  const ProgramResult r = run();
  EXPECT_EQ(r.exit_code, kUsage);
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
  EXPECT_NE(r.err.find("optimizer.lr = 0.01"), std::string::npos) << r.err;
  EXPECT_EQ(names().size(), 4u) << "nothing was added";
}

TEST_F(SweepLaunch, MeshesRunAsThreadRanks) {
  sweep("[\"none\"]", 4, "parallel.dp = [1, 2]\n");
  const ProgramResult r = run();
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(status()["counts"]["done"], 4);
}

TEST_F(SweepLaunch, WithoutSlurmExitsAtOnce) {
  const ProgramResult r = Program({"/usr/bin/env", "PATH=" + at("nothing"), mixspan_path(), "sweep",
                                   at("s.toml"), "--out", at("out"), "--launcher", "slurm"})
                              .wait();
  EXPECT_EQ(r.exit_code, kUsage);
  EXPECT_NE(r.err.find("sbatch"), std::string::npos) << r.err;
  EXPECT_FALSE(fs::exists(at("out")));
}

TEST_F(SweepLaunch, ArgumentsThatWouldMeanNothingAreRefused) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const ProgramResult r = mixspan(arguments);
    EXPECT_EQ(r.exit_code, kUsage) << part;
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    EXPECT_NE(r.err.find(part), std::string::npos) << r.err;
  };
  refused(command({"--wait"}), "--wait");
  refused(command({"--machine", at("m.toml")}), "--machine");
  refused(command({"--jobs", "4097"}), "4096");
  EXPECT_FALSE(fs::exists(at("out")));
  refused({"sweep", at("s.toml"), "status", at("out")}, "sweep status: takes no SWEEP");
  refused({"sweep", "--jobs", "2", "retry", at("out")}, "sweep retry: takes no --jobs");
}

TEST_F(SweepLaunch, ADryRunSharesTheMachineAmongTheRunsThereAre) {
  const ProgramResult few = run({"--dry-run", "--jobs", "2"});
  EXPECT_NE(few.out.find(", 2 at a time"), std::string::npos) << few.out << few.err;
  const ProgramResult many = run({"--dry-run", "--jobs", "4096"});
  EXPECT_NE(many.out.find(", 4 at a time"), std::string::npos) << many.out << many.err;
}

TEST_F(SweepLaunch, AFolderThatCannotBeWrittenExitsAtOnce) {
  write_file(at("out"), "");
  const ProgramResult r = run();
  EXPECT_EQ(r.exit_code, kUsage);
  EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
}

TEST_F(SweepLaunch, AFolderWithSomebodysOwnFilesIsRefusedAndLeftAsItIs) {
  const auto refused = [&](const std::string& file, const std::string& text) {
    fs::create_directories(fs::path(at(file)).parent_path());
    write_file(at(file), text);
    const ProgramResult r = run();
    EXPECT_EQ(r.exit_code, kUsage) << r.out;
    EXPECT_EQ(std::count(r.err.begin(), r.err.end(), '\n'), 1) << r.err;
    EXPECT_NE(r.err.find("launch.toml"), std::string::npos) << r.err;
    EXPECT_EQ(read_file(at(file)), text);
    EXPECT_FALSE(fs::exists(at("out/runs")));
    fs::remove_all(at("out"));
  };
  refused("out/configs/mine.toml", "a = 1\n");
  refused("out/sweep.toml", "a = 1\n");
  refused("out/launch.toml", "a = 1\n");
  refused("out/launch.toml", "");
}

TEST_F(SweepLaunch, ASweepThatWasKilledBeforeItsFirstConfigGoesOn) {
  fs::create_directories(at("out/configs"));
  sweep("[\"none\"]", 2);
  EXPECT_EQ(run().exit_code, 0);
}

TEST(LocalLaunchProcessors, AreDividedOrRefused) {
  const auto have = static_cast<std::int64_t>(divide_processors({})[0].size());
  EXPECT_EQ(divide_processors({}).size(), 1u) << "one run has all";
  EXPECT_EQ(divide_processors({.jobs = 0, .cores = 1}).size(), static_cast<std::size_t>(have));
  const auto shared = divide_processors({.jobs = have + 1, .cores = 0});
  ASSERT_EQ(shared.size(), static_cast<std::size_t>(have + 1));
  EXPECT_EQ(shared.back(), shared.front()) << "more jobs than processors share them";
  for (std::int64_t i = 1; i < have; ++i) EXPECT_NE(shared[static_cast<std::size_t>(i)], shared[0]);
  EXPECT_NE(refusal([&] { divide_processors({.jobs = 1, .cores = have + 1}); }), "");
  EXPECT_NE(refusal([&] { divide_processors({.jobs = have + 1, .cores = 1}); }), "");
}

class Children : public testing::Test {
 protected:
  ChildRequest shell(const std::string& script) const {
    ChildRequest request;
    request.arguments = {"/bin/sh", "-c", script};
    request.log = scratch / "log";
    return request;
  }
  static int wait(ChildProcess& child) {
    std::optional<int> code;
    while (!(code = child.ended())) std::this_thread::yield();
    return *code;
  }
  ScratchFolder scratch{memory_folder()};
};

TEST_F(Children, ArePinnedAppendTheirLogAndAreNobodysRank) {
  setenv("SLURM_JOB_ID", "7", 1);
  setenv("PMIX_RANK", "0", 1);
  ChildRequest request = shell(
      "echo job=$SLURM_JOB_ID rank=$PMIX_RANK; grep Cpus_allowed_list /proc/self/status; "
      "echo 'mixspan: wrong' >&2; echo last; exit 3");
  request.processors = {divide_processors({})[0][0]};
  auto child = ChildProcess::start(request);
  unsetenv("SLURM_JOB_ID");
  unsetenv("PMIX_RANK");
  ASSERT_TRUE(child);
  EXPECT_EQ(wait(*child), 3);
  const std::string log = read_file(request.log);
  EXPECT_NE(log.find("job= rank=\n"), std::string::npos) << log;
  EXPECT_NE(log.find(fmt::format("Cpus_allowed_list:\t{}\n", request.processors[0])), log.npos)
      << log;
  EXPECT_EQ(child->last_words(), "wrong");
  auto next = ChildProcess::start(shell("echo only this; exit 0"));
  ASSERT_TRUE(next);
  EXPECT_EQ(wait(*next), 0);
  EXPECT_EQ(next->last_words(), "only this") << "not an earlier process's";
}

TEST_F(Children, HoldTheirLogWhileTheyLive) {
  auto child = ChildProcess::start(shell("exec sleep 1000"));
  ASSERT_TRUE(child);
  EXPECT_TRUE(is_locked(scratch / "log"));
  EXPECT_FALSE(ChildProcess::start(shell("true")));
  child->signal(SIGKILL);
  EXPECT_EQ(wait(*child), 128 + SIGKILL);
}

TEST_F(Children, OfAKilledProcessGetSigterm) {
  const fs::path ready = scratch / "ready", told = scratch / "told";
  const pid_t parent = fork();
  if (parent == 0) {
    auto child = ChildProcess::start(
        shell(fmt::format("trap 'touch {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
                          told.string(), ready.string())));
    while (true) pause();
  }
  while (!fs::exists(ready)) std::this_thread::yield();
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  while (is_locked(scratch / "log")) std::this_thread::yield();
  EXPECT_TRUE(fs::exists(told));
}

TEST_F(Children, GetEverySignalAlsoWhileTheyStart) {
  const StopSignal signals;  // its handler must not run in a child
  for (int i = 0; i < 200; ++i) {
    ChildRequest request = shell("");
    request.arguments = {"/bin/sleep", "20"};
    auto child = ChildProcess::start(request);
    ASSERT_TRUE(child);
    child->signal(SIGTERM);
    ASSERT_EQ(wait(*child), 128 + SIGTERM) << i;
  }
}

TEST_F(Children, ThatCannotBeRunSayWhy) {
  ChildRequest request = shell("");
  request.arguments = {"/no/such/program"};
  auto child = ChildProcess::start(request);
  ASSERT_TRUE(child);
  EXPECT_EQ(wait(*child), 127);
  EXPECT_NE(child->last_words().find("/no/such/program: No such file"), std::string::npos);
}

}  // namespace
}  // namespace mixspan
