#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "experiments/run/config_diff.h"
#include "experiments/run/exit_code.h"
#include "experiments/run/run_directory.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig =
    "# build 0123abcd\n[model]\nlayers = 4\nspan = \"sliding:256\"\n\n[train]\nsteps = "
    "100\n\n[log]\n"
    "every = 10\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectoryOptions options(const std::string& config = kConfig) const {
    return {.path = path,
            .config_toml = config,
            .may_change = {"log.*", "train.steps"},
            .steps = 100,
            .build = "mixspan test"};
  }
  std::string file(const std::string& name) const { return test::read_file(path / name); }
  nlohmann::json json(const std::string& name) const { return nlohmann::json::parse(file(name)); }

  // A lease as another process would have written it.
  void write_lease(const std::string& host, std::int64_t pid, const std::string& start) const {
    nlohmann::json lease{{"host", host},     {"boot", test::read_file(kBootId)}, {"pid", pid},
                         {"restarts", 0},    {"process_start", start},           {"job_id", "77"},
                         {"taken", 1000000}, {"token", "0123456789abcdef"}};
    lease["boot"] = replaced(lease["boot"].get<std::string>(), "\n", "");
    test::write_file(path / "lease.json", lease.dump());
  }

  static constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";
  const test::ScratchFolder scratch{test::memory_folder()};
  const fs::path path = scratch / "runs/a";
};

TEST_F(RunDirectoryTest, ANewRunLeavesWhatTheDesignSays) {
  {
    RunDirectory run(options());
    EXPECT_EQ(run.restarts(), 0);
    EXPECT_FALSE(run.finished());
    EXPECT_EQ(file("config.toml"), kConfig);
    EXPECT_EQ(json("status.json").at("state"), "running");
    EXPECT_EQ(json("status.json").at("steps"), 100);
    EXPECT_EQ(json("status.json").at("pid"), ::getpid());
    EXPECT_EQ(json("lease.json").at("pid"), ::getpid());
    EXPECT_EQ(json("lease.json").at("host"), host_name());
    run.check_lease();
    run.log("a line");
    run.write_result("{\"loss\": 1}\n");
    EXPECT_TRUE(run.finished());
  }
  EXPECT_EQ(file("result.json"), "{\"loss\": 1}\n");
  EXPECT_EQ(json("status.json").at("state"), "done");
  EXPECT_FALSE(fs::exists(path / "lease.json")) << "nobody writes here any more";
  const std::string log = file("log.txt");
  EXPECT_NE(log.find("==== start 1 on "), std::string::npos);
  EXPECT_NE(log.find("Z a line\n"), std::string::npos);
}

TEST_F(RunDirectoryTest, OpenedAgainItCountsRestartsAndMarksThem) {
  for (int restart = 0; restart < 3; ++restart) {
    RunDirectory run(options());
    EXPECT_EQ(run.restarts(), restart);
    run.set_state(RunState::interrupted, "SIGTERM");
  }
  EXPECT_NE(file("log.txt").find("==== start 3 on "), std::string::npos);
  EXPECT_EQ(json("status.json").at("last_error"), "SIGTERM");
}

TEST_F(RunDirectoryTest, AFinishedRunIsNotTouched) {
  { RunDirectory(options()).write_result("{}"); }
  const std::string status = file("status.json"), log = file("log.txt");
  {
    const RunDirectory run(options());
    EXPECT_TRUE(run.finished());
  }
  EXPECT_EQ(file("status.json"), status);
  EXPECT_EQ(file("log.txt"), log);
}

TEST_F(RunDirectoryTest, KilledBetweenItsResultAndItsStatusARunIsDone) {
  { RunDirectory(options()).set_state(RunState::interrupted); }
  test::write_file(path / "result.json", "{}");
  EXPECT_TRUE(RunDirectory(options()).finished());
  EXPECT_EQ(read_status(path)->state, RunState::done);
}

TEST_F(RunDirectoryTest, AQueuedRunWasNotStartedBefore) {
  fs::create_directories(path);
  write_status(path, {.state = RunState::queued, .job_id = "12", .host = {}, .last_error = {}});
  EXPECT_EQ(RunDirectory(options()).restarts(), 0);
}

TEST_F(RunDirectoryTest, AnotherConfigIsRefusedByItsFirstKeyAndChangesNothing) {
  { RunDirectory(options()).set_state(RunState::interrupted); }
  const std::string status = file("status.json");
  const std::string other =
      replaced(replaced(kConfig, "sliding:256", "sliding:64"), "every = 10", "every = 1");
  EXPECT_EQ(test::refusal([&] { RunDirectory run(options(other)); }),
            path.string() +
                ": holds a run whose model.span is \"sliding:256\", and the config says "
                "\"sliding:64\"; give another --run-dir, or the old value");
  EXPECT_EQ(file("status.json"), status);
  EXPECT_EQ(file("config.toml"), kConfig);
  EXPECT_FALSE(fs::exists(path / "lease.json"));
}

TEST_F(RunDirectoryTest, FewerStepsThanAreDoneAreRefused) {
  RunDirectoryOptions fewer = options(replaced(kConfig, "steps = 100", "steps = 60"));
  fewer.steps = 60;
  { RunDirectory(options()).write_result(R"({"steps": 100})"); }
  EXPECT_EQ(test::refusal([&] { RunDirectory run(fewer); }),
            path.string() +
                ": holds a run that has done 100 steps, and the config says train.steps = 60; "
                "wanted 100 or more, or another folder");
  EXPECT_EQ(file("config.toml"), kConfig);
  EXPECT_TRUE(fs::exists(path / "result.json"));
  fs::remove(path / "result.json");
  fs::create_directories(path / "checkpoints/step-00000080");
  EXPECT_NE(test::refusal([&] { RunDirectory run(fewer); }), "");
  fs::rename(path / "checkpoints/step-00000080", path / "checkpoints/step-00000060");
  EXPECT_NO_THROW(RunDirectory run(fewer));
}

TEST_F(RunDirectoryTest, KeysThatMayChangeReplaceTheOldOnesAndAreLogged) {
  { RunDirectory(options()).write_result("{}"); }
  const std::string longer = replaced(kConfig, "steps = 100", "steps = 200");
  const RunDirectory run(options(longer));
  EXPECT_FALSE(run.finished()) << "it was finished for 100 steps";
  EXPECT_EQ(file("config.toml"), longer);
  EXPECT_NE(file("log.txt").find("config: train.steps was 100, is 200"), std::string::npos);
}

TEST_F(RunDirectoryTest, AnotherBuildIsTheSameConfig) {
  { RunDirectory(options()).set_state(RunState::interrupted); }
  RunDirectory run(options(replaced(kConfig, "0123abcd", "4567cdef")));
  EXPECT_EQ(run.restarts(), 1);
}

TEST_F(RunDirectoryTest, PartsOfARunWithoutItsConfigAreRefused) {
  fs::create_directories(path / "checkpoints");
  EXPECT_NE(test::refusal([&] { RunDirectory run(options()); }).find("has a checkpoints but no"),
            std::string::npos);
}

TEST_F(RunDirectoryTest, AFileInItsPlaceIsRefused) {
  test::write_file(scratch / "runs", "");
  EXPECT_NE(
      test::refusal([&] { RunDirectory run(options()); }).find("cannot be made a run directo"),
      std::string::npos);
}

TEST_F(RunDirectoryTest, ASecondLiveWriterIsRefused) {
  const RunDirectory run(options());
  EXPECT_NE(test::refusal([&] {
              RunDirectory second(options());
            }).find(fmt::format("process {} on this host is writing this run", ::getpid())),
            std::string::npos);
  run.check_lease();  // and the first is not disturbed
}

TEST_F(RunDirectoryTest, OfManyWritersAtOnceOneWins) {
  // On a disk whose fsyncs take their time, the writers meet between looking and taking.
  const test::ScratchFolder disk;
  RunDirectoryOptions shared = options();
  shared.path = disk.path();
  int ends[2], start[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::pipe(start), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      ::close(start[1]);
      char none;
      if (::read(start[0], &none, 1) != 0) _exit(1);  // returns when the parent closes its end
      try {
        const RunDirectory run(shared);
        if (::write(ends[1], "W", 1) == 1) ::pause();
      } catch (const InputError&) {
        if (::write(ends[1], "R", 1) == 1) ::pause();
      } catch (const std::exception&) {
        if (::write(ends[1], "?", 1) == 1) ::pause();
      }
      _exit(1);
    }
    children.push_back(child);
  }
  ::close(start[0]);
  ::close(start[1]);
  std::string answers(8, '\0');
  for (char& answer : answers) ASSERT_EQ(::read(ends[0], &answer, 1), 1);
  for (pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 'W'), 1) << answers;
  EXPECT_EQ(std::count(answers.begin(), answers.end(), 'R'), 7) << answers;
}

TEST_F(RunDirectoryTest, AKilledWriterIsTakenOver) {
  const pid_t child = fork();
  if (child == 0) {
    RunDirectory run(options());
    run.heartbeat(7);
    raise(SIGKILL);
  }
  int status = 0;
  siginfo_t ended;
  waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);  // dead, but still a zombie
  EXPECT_EQ(json("lease.json").at("pid"), child);
  {
    const RunDirectory run(options());
    EXPECT_EQ(run.restarts(), 1);
    EXPECT_EQ(json("lease.json").at("pid"), ::getpid());
  }
  waitpid(child, &status, 0);
}

TEST_F(RunDirectoryTest, AReusedProcessNumberIsNotTheOldWriter) {
  fs::create_directories(path);
  write_lease(host_name(), ::getpid(), "1");  // this process began later than one tick after boot
  EXPECT_EQ(RunDirectory(options()).restarts(), 0);
}

TEST_F(RunDirectoryTest, ANewerWriterElsewhereStopsThisOne) {
  std::optional<RunDirectory> run(options());
  const std::string before = file("status.json");
  write_lease("othernode", 5, "1");
  const auto lost = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const LeaseLost& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(
      lost([&] { run->check_lease(); }),
      (path / "lease.json").string() + ": process 5 on othernode has taken this run over (job 77)");
  EXPECT_NE(lost([&] { run->set_state(RunState::failed, "x"); }), "");
  EXPECT_NE(lost([&] { run->write_result("{}"); }), "");
  run.reset();
  EXPECT_EQ(json("lease.json").at("host"), "othernode") << "the other's lease was removed";
  EXPECT_EQ(file("status.json"), before) << "the other's status was overwritten";
  EXPECT_FALSE(fs::exists(path / "result.json"));
}

TEST_F(RunDirectoryTest, AWriterOnAnotherHostIsTakenOver) {
  fs::create_directories(path);
  write_lease("othernode", ::getpid(), "1");
  const RunDirectory run(options());
  EXPECT_EQ(json("lease.json").at("host"), host_name());
}

TEST_F(RunDirectoryTest, AMissingLeaseIsALostOne) {
  const RunDirectory run(options());
  fs::remove(path / "lease.json");
  EXPECT_THROW(run.check_lease(), LeaseLost);
}

TEST_F(RunDirectoryTest, ADamagedLeaseIsRefusedBeforeAndLostDuringARun) {
  fs::create_directories(path);
  for (const char* text : {"", "{", "[]", "{\"host\": 3}"}) {
    test::write_file(path / "lease.json", text);
    EXPECT_NE(test::refusal([&] { RunDirectory run(options()); }).find("lease.json: is damaged"),
              std::string::npos);
  }
  fs::remove(path / "lease.json");
  const RunDirectory run(options());
  test::write_file(path / "lease.json", "");
  EXPECT_THROW(run.check_lease(), LeaseLost);
}

TEST_F(RunDirectoryTest, ADamagedStatusIsMended) {
  { RunDirectory(options()).set_state(RunState::interrupted); }
  for (const char* text : {"", "{}", "{\"state\": \"asleep\"}", "\xff"}) {
    test::write_file(path / "status.json", text);
    EXPECT_NE(test::refusal([&] { read_status(path); }).find("status.json: "), std::string::npos);
    { RunDirectory(options()).set_state(RunState::interrupted); }
    EXPECT_EQ(read_status(path)->state, RunState::interrupted);
  }
}

TEST_F(RunDirectoryTest, ARunThatThrewHasFailed) {
  try {
    RunDirectory run(options());
    run.heartbeat(5);
    fail("something");
  } catch (const Error&) {
  }
  const RunStatus status = *read_status(path);
  EXPECT_EQ(status.state, RunState::failed);
  EXPECT_EQ(status.step, 5);
  EXPECT_EQ(status.last_error, "the run ended without saying why");
}

TEST_F(RunDirectoryTest, StatusReadsBack) {
  RunStatus s{.state = RunState::saving,
              .step = 3,
              .steps = 9,
              .heartbeat = 1700000000,
              .restarts = 2,
              .job_id = "4_2",
              .host = "n1",
              .pid = 12,
              .last_error = "a \"b\"\n"};
  write_status(scratch.path(), s);
  const RunStatus back = *read_status(scratch.path());
  EXPECT_EQ(back.state, s.state);
  EXPECT_EQ(back.heartbeat, s.heartbeat);
  EXPECT_EQ(back.job_id, s.job_id);
  EXPECT_EQ(back.last_error, s.last_error);
  EXPECT_FALSE(read_status(path).has_value());
}

TEST(ConfigDiff, ReadsTablesListsCommentsAndQuotes) {
  const char* old_toml =
      "top = 1 # note\r\n[a]\nx = \"# = [not a comment]\"  # but this is\nlist = [1,\n  2, # two\n"
      "  \"]\",\n]\n[[b]]\nk = 1\n[[b]]\nk = 2\n[c.d]\ngone = true\n";
  EXPECT_TRUE(config_differences(old_toml, old_toml).empty());
  const char* new_toml =
      "  top   =   1\n[a]\nx=\"# = [not a comment]\"\nlist = [1,\n  2,\n  \"[\",\n]\n[[b]]\nk = 1\n"
      "[[b]]\nk = 3\n[c.d]\nadded = 1\n";
  const std::vector<ConfigDifference> d = config_differences(old_toml, new_toml);
  ASSERT_EQ(d.size(), 4u);
  EXPECT_EQ(d[0].key, "a.list");
  EXPECT_EQ(d[0].old_value, "[1, 2, \"]\", ]");
  EXPECT_EQ(d[0].new_value, "[1, 2, \"[\", ]");
  EXPECT_EQ(d[1].key, "b[1].k");
  EXPECT_EQ(d[2].key, "c.d.added");
  EXPECT_EQ(d[2].old_value, "");
  EXPECT_EQ(d[3].key, "c.d.gone");
  EXPECT_EQ(d[3].new_value, "");
}

TEST(ConfigDiff, SurvivesWhatIsNoToml) {
  for (const char* text :
       {"", "\n\n", "[", "]", "[[", "= 1", "a", "a = [", "\"", "[[]]", "a = \"\\"}) {
    EXPECT_TRUE(config_differences(text, text).empty()) << text;
  }
}

TEST(ConfigDiff, PatternsNameKeysOrTables) {
  const std::vector<std::string> patterns{"log.*", "train.steps"};
  EXPECT_TRUE(matches_any("log.every", patterns));
  EXPECT_TRUE(matches_any("train.steps", patterns));
  EXPECT_FALSE(matches_any("train.steps2", patterns));
  EXPECT_FALSE(matches_any("logs.every", patterns));
  EXPECT_FALSE(matches_any("log", patterns));
}

TEST(ExitCode, NumbersAreAContract) {
  EXPECT_EQ(kFinished, 0);
  EXPECT_EQ(kFailure, 1);
  EXPECT_EQ(kUsage, 2);
  EXPECT_EQ(kStopped, 75);
  EXPECT_EQ(kLost, 76);
}

}  // namespace
}  // namespace mixspan
