// What a sweep sees of its runs, and what it writes before any of them starts.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "experiments/run/lease.h"
#include "experiments/sweep/sweep_table.h"
#include "tests/experiments/sweep_fixture.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

class SweepState : public testing::Test {
 protected:
  // The state that is seen where status.json says `said`.
  std::string seen(RunState said, const std::string& job_id, const JobStates* jobs) {
    RunStatus status;
    status.state = said;
    status.job_id = job_id;
    status.host = host_name();
    fs::create_directories(run);
    write_status(run, status);
    return std::string(state_name(look_at_state(run, "run", jobs)));
  }

  ScratchFolder scratch{memory_folder()};
  const fs::path run = scratch / "run";
};

TEST_F(SweepState, OfARunWithoutAFolderIsMissing) {
  const RunSight sight = look_at(run, "run", nullptr);
  EXPECT_EQ(state_name(sight), "missing");
  EXPECT_TRUE(needs_start(sight));
}

TEST_F(SweepState, OfALiveProcessIsWhatItSays) {
  fs::create_directories(run);
  const Lease lease = Lease::take(run, 0);  // of this process
  EXPECT_EQ(seen(RunState::running, "", nullptr), "running");
  EXPECT_EQ(seen(RunState::saving, "", nullptr), "saving");
  EXPECT_EQ(seen(RunState::failed, "", nullptr), "running") << "it has begun again";
  EXPECT_TRUE(look_at_state(run, "run", nullptr).alive_here);
}

TEST_F(SweepState, OfADeadProcessIsInterrupted) {
  EXPECT_EQ(seen(RunState::running, "", nullptr), "interrupted") << "no lease";
  const pid_t child = fork();
  if (child == 0) {
    new Lease(Lease::take(run, 0));
    _exit(0);  // as a killed process, which leaves its lease
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(fs::exists(run / "lease.json"));
  EXPECT_EQ(seen(RunState::running, "", nullptr), "interrupted");
  EXPECT_EQ(seen(RunState::saving, "", nullptr), "interrupted");
  EXPECT_EQ(seen(RunState::failed, "", nullptr), "failed");
}

TEST_F(SweepState, OfASilentProcessElsewhereIsInterrupted) {
  fs::create_directories(run);
  write_file(run / "lease.json",
             R"({"host":"elsewhere","boot":"b","pid":1,"process_start":"1","job_id":"",)"
             R"("restarts":0,"taken":0,"token":"t"})");
  RunStatus status;
  status.state = RunState::running;
  status.heartbeat = 1000;  // long ago
  write_status(run, status);
  EXPECT_EQ(state_name(look_at_state(run, "run", nullptr)), "interrupted");
  status.heartbeat = 1ll << 40;  // by a clock ahead of ours
  write_status(run, status);
  EXPECT_EQ(state_name(look_at_state(run, "run", nullptr)), "running");
}

TEST_F(SweepState, FollowsTheJob) {
  const JobStates waits{{"7_3", "PENDING"}}, runs{{"7_3", "RUNNING"}}, gone{{"7_2", "RUNNING"}};
  EXPECT_EQ(seen(RunState::queued, "7_3", &waits), "queued");
  EXPECT_EQ(seen(RunState::queued, "7_3", nullptr), "queued") << "Slurm cannot be asked";
  EXPECT_EQ(seen(RunState::queued, "7_3", &gone), "interrupted");
  EXPECT_EQ(seen(RunState::queued, "", nullptr), "interrupted") << "announced without a job";
  EXPECT_EQ(seen(RunState::running, "7_3", &runs), "running");
  EXPECT_EQ(seen(RunState::running, "7_3", &gone), "interrupted");
  EXPECT_EQ(seen(RunState::interrupted, "7_3", &waits), "queued") << "it goes on by itself";
  EXPECT_EQ(seen(RunState::failed, "7_3", &gone), "failed");
  EXPECT_EQ(seen(RunState::failed, "7_3", &waits), "queued") << "a lost node: requeued";
}

TEST_F(SweepState, OfARunWithAResultIsDone) {
  seen(RunState::saving, "", nullptr);
  write_file(run / "result.json", R"({"steps": 5, "loss": 1.5, "eval": {"loss": 2.5}})");
  const RunSight sight = look_at(run, "run", nullptr);
  EXPECT_EQ(state_name(sight), "done");
  EXPECT_EQ(sight.step, 5);
  EXPECT_EQ(sight.train_loss, 1.5);
  EXPECT_EQ(sight.eval_loss, 2.5);
  fs::remove(run / "result.json");
  EXPECT_EQ(seen(RunState::done, "", nullptr), "interrupted") << "it was opened again";
}

TEST_F(SweepState, OfADamagedResultSaysSo) {
  seen(RunState::done, "", nullptr);
  for (const char* text : {"{", "[]", "{}", R"({"steps": "many"})"}) {
    write_file(run / "result.json", text);
    const RunSight sight = look_at(run, "run", nullptr);
    EXPECT_EQ(state_name(sight), "done");
    EXPECT_NE(sight.note.find("result.json: is damaged"), std::string::npos) << sight.note;
  }
  write_file(run / "result.json", R"({"steps": 5, "loss": "x", "eval": [1]})");
  EXPECT_EQ(look_at(run, "run", nullptr).note, "");
}

TEST_F(SweepState, OfAJobThatRefusedItsConfigIsFailed) {
  const JobStates none;
  const fs::path there = scratch / "sweep/runs/a";
  fs::create_directories(there);
  fs::create_directories(scratch / "sweep/slurm");
  RunStatus status;
  status.state = RunState::queued;
  status.job_id = "7_0";
  write_status(there, status);
  EXPECT_EQ(state_name(look_at_state(there, "a", &none)), "interrupted") << "no log: cancelled";
  write_file(scratch / "sweep/slurm/7_0.log", "== a: job 7_0\nmixspan: x.h5: no such file\n== a\n");
  const RunSight sight = look_at_state(there, "a", &none);
  EXPECT_EQ(state_name(sight), "failed");
  EXPECT_EQ(sight.note, "x.h5: no such file");
  EXPECT_EQ(state_name(look_at_state(there, "a", nullptr)), "queued") << "Slurm cannot be asked";
}

TEST_F(SweepState, OfADamagedStatusSaysSo) {
  seen(RunState::running, "", nullptr);
  write_file(run / "status.json", "{");
  const RunSight sight = look_at(run, "run", nullptr);
  EXPECT_EQ(state_name(sight), "missing");
  EXPECT_NE(sight.note.find("status.json"), std::string::npos) << sight.note;
}

TEST_F(SweepState, TableAndCountsAndJson) {
  std::vector<RunSight> runs(3);
  runs[0].name = "a";
  runs[0].state = RunState::running;
  runs[0].step = 3;
  runs[0].steps = 10;
  runs[0].train_loss = 1.25;
  runs[0].left_s = 90;
  runs[1].name = "long-name";
  runs[1].state = RunState::failed;
  runs[1].note = "out of\nmemory";
  runs[2].name = "c";
  EXPECT_EQ(summary_line(runs), "3 runs: 1 running, 1 failed, 1 missing");
  const std::vector<std::string> lines = table_lines(runs);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], "a          running  3/10  1.2500             1m30s");
  EXPECT_NE(lines[2].find("out of\\x0amemory"), std::string::npos) << lines[2];
  EXPECT_EQ(table_lines(runs, 12)[1], "a          r");
  const auto json = nlohmann::json::parse(to_json(runs));
  EXPECT_EQ(json["counts"]["failed"], 1);
  EXPECT_EQ(json["counts"]["done"], 0);
  EXPECT_EQ(json["runs"][0]["loss"], 1.25);
  EXPECT_TRUE(json["runs"][2]["eval_loss"].is_null());
}

// What a table on a terminal of `height` lines writes for these runs.
std::string drawn(const std::vector<std::vector<RunSight>>& shown, int height, bool live) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* stream = open_memstream(&text, &size);
  SweepTable table(stream, {.live = live, .color = false, .width = 0}, height);
  for (const auto& runs : shown) table.show(runs);
  std::fclose(stream);
  std::string result(text, size);
  std::free(text);
  return result;
}

TEST_F(SweepState, TheLiveTableShowsWhatMattersAndRedrawsItself) {
  std::vector<RunSight> runs(30);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    runs[i].name = fmt::format("run-{}", i);
    runs[i].state = RunState::done;
  }
  runs[20].state = RunState::running;
  runs[25].state = RunState::failed;
  const std::string text = drawn({runs, runs}, 9, true);  // room for five runs
  EXPECT_NE(text.find("run-20"), std::string::npos) << text;
  EXPECT_NE(text.find("run-25"), std::string::npos) << text;
  EXPECT_NE(text.find("run-2 "), std::string::npos) << text;
  EXPECT_EQ(text.find("run-3 "), std::string::npos) << text;
  EXPECT_NE(text.find("... and 25 more\n30 runs: 28 done, 1 running, 1 failed\n\x1b[8A"),
            std::string::npos)
      << text;
}

TEST_F(SweepState, APipeGetsALineWhenARunChanges) {
  std::vector<RunSight> before(2), after;
  before[0].name = "a";
  before[1].name = "b";
  after = before;
  after[1].state = RunState::running;
  EXPECT_EQ(drawn({before, after, after}, 24, false), "b: running\n");
}

class SweepFolderFiles : public testing::Test {
 protected:
  // As if run 0 had begun and written its resolved config, which knows the vocabulary.
  void begin(const SweepFolder& folder, SweepRun run, bool finished) const {
    run.config.model.vocab = 77;
    fs::create_directories(folder.run_dir(run.name));
    replace_file(folder.run_dir(run.name) / "config.toml", to_toml(run.config));
    if (finished) write_file(folder.run_dir(run.name) / "result.json", "{}");
  }
  ScratchFolder scratch{memory_folder()};
};

TEST_F(SweepFolderFiles, ConfigsAreWrittenWhenDifferentAndGoWithTheirRuns) {
  const SweepFolder folder = make_folder(scratch / "sweep/");
  std::vector<SweepRun> runs = tiny_runs(11, scratch.path());
  write_folder(folder, "# a\n", runs);
  EXPECT_EQ(read_file(folder.sweep_file()), "# a\n");
  EXPECT_EQ(read_file(folder.config("seed-2")), to_toml(runs[1].config));
  EXPECT_EQ(folder.names(), names_of(runs)) << "10 comes after 9";

  const auto written = fs::last_write_time(folder.config("seed-1"));
  fs::last_write_time(folder.config("seed-1"), written - std::chrono::hours(1));
  begin(folder, runs[10], true);
  runs.resize(1);
  write_folder(folder, "# b\n", runs);
  EXPECT_EQ(read_file(folder.sweep_file()), "# b\n");
  EXPECT_EQ(fs::last_write_time(folder.config("seed-1")), written - std::chrono::hours(1));
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"seed-1", "seed-11"}))
      << "what never began goes, what began stays";
}

TEST_F(SweepFolderFiles, ARunThatBeganWithAnotherConfigIsRefused) {
  const SweepFolder folder = make_folder(scratch / "sweep");
  const std::vector<SweepRun> runs = tiny_runs(2, scratch.path());
  begin(folder, runs[1], true);
  EXPECT_NO_THROW(folder.require_same_configs(runs));
  EXPECT_NO_THROW(folder.require_same_configs(
      tiny_runs(2, scratch.path(), 12, {"log.every_steps=3", "checkpoint.keep=1"})));
  const std::string message = refusal([&] {
    folder.require_same_configs(tiny_runs(2, scratch.path(), 12, {"model.span=sliding:4"}));
  });
  for (const char* part : {"run seed-2", "model.span", "\"sliding:8\"", "\"sliding:4\"", "--out"}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST_F(SweepFolderFiles, MoreStepsOpenAFinishedRunAgainOtherLogsDoNot) {
  const std::vector<std::string> constant{"optimizer.schedule=constant"};
  const SweepFolder folder = make_folder(scratch / "sweep");
  std::vector<SweepRun> runs = tiny_runs(1, scratch.path(), 12, constant);
  begin(folder, runs[0], true);
  runs[0].config.log.every_steps = 2;
  write_folder(folder, "", runs);
  EXPECT_TRUE(fs::exists(folder.run_dir("seed-1") / "result.json"));
  runs[0].config.train.steps = 20;
  folder.require_same_configs(runs);
  write_folder(folder, "", runs);
  EXPECT_FALSE(fs::exists(folder.run_dir("seed-1") / "result.json"));
  fs::create_directories(folder.run_dir("seed-1") / "checkpoints/step-00000012");
  runs[0].config.train.steps = 11;
  EXPECT_NE(refusal([&] { folder.require_same_configs(runs); }).find("12 or more"),
            std::string::npos);
}

TEST_F(SweepFolderFiles, AFolderThatCannotBeWrittenIsRefusedInOneLine) {
  write_file(scratch / "file", "");
  const std::string message = refusal([&] { make_folder(scratch / "file"); });
  EXPECT_NE(message.find("cannot hold a sweep"), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_NE(refusal([&] { SweepFolder::open(scratch.path()); }).find("not the folder of a sweep"),
            std::string::npos);
}

}  // namespace
}  // namespace mixspan
