// Submission of a sweep to Slurm, against commands that only play it.
#include <gtest/gtest.h>

#include <cstdlib>

#include "experiments/sweep/slurm_client.h"
#include "experiments/sweep/slurm_launcher.h"
#include "tests/experiments/sweep_fixture.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

// PATH of this process, put back at the end.
class Path {
 public:
  explicit Path(const std::string& value) { setenv("PATH", value.c_str(), 1); }
  ~Path() { setenv("PATH", before_.c_str(), 1); }
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

 private:
  const std::string before_ = std::getenv("PATH");
};

class SweepSlurm : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(bin);
    write_file(queue, "");
    write_file(limit, "MaxArraySize            = 1001\n");
    // Jobs 101, 102, ...; the n-th submission is refused where refuse-n is there.
    program("sbatch", "n=$(($(cat " + at("count") + " 2>/dev/null || echo 0) + 1))\n" +
                          "echo $n >" + at("count") + "\ncp \"$2\" " + at("script-$n") +
                          "\n[[ -e " + at("refuse-$n") + " ]] && { cat " + at("refuse-$n") +
                          " >&2; exit 1; }\n[[ $1 = --parsable ]] && echo \"$((100 + n));here\"");
    program("squeue", "echo \"$*\" >>" + at("asked") + "\ncat " + at("queue"));
    program("scancel", "echo \"$*\" >>" + at("cancelled"));
    program("scontrol", "cat " + at("limit"));
  }
  std::string at(const std::string& name) const { return scratch / name; }
  void program(const std::string& name, const std::string& body) const {
    write_file(bin / name, "#!/bin/bash\n" + body + "\n");
    fs::permissions(bin / name, fs::perms::owner_all);
  }
  SlurmRequest request() const { return {{}, "sweep", "/opt/mixspan", "/"}; }
  std::vector<SubmittedArray> submitted(const std::vector<SweepRun>& runs) const {
    return submit_runs(folder, runs, request());
  }
  RunStatus status(const std::string& run) const {
    return read_status(folder.run_dir(run)).value_or(RunStatus{});
  }

  ScratchFolder scratch{memory_folder()};
  const fs::path bin = scratch / "bin", queue = scratch / "queue", limit = scratch / "limit";
  const Path path{bin.string() + ":/usr/bin:/bin"};
  const SweepFolder folder = make_folder(scratch / "sweep");
};

TEST_F(SweepSlurm, OneArrayWithALineForEachRun) {
  const std::vector<SweepRun> runs = tiny_runs(3, scratch.path());
  const std::vector<SubmittedArray> arrays = submitted(runs);
  ASSERT_EQ(arrays.size(), 1u);
  EXPECT_EQ(arrays[0].job, "101");
  EXPECT_EQ(read_file(folder.slurm() / "runs-101.txt"), "seed-1\nseed-2\nseed-3\n");
  EXPECT_EQ(status("seed-3").state, RunState::queued);
  EXPECT_EQ(status("seed-3").job_id, "101_2") << "as job_id() has it in the task";
  EXPECT_NE(read_file(at("script-1")).find("#SBATCH --array=0-2\n"), std::string::npos);
  EXPECT_EQ(read_file(at("script-1")), read_file(folder.slurm() / "array.sbatch"));
}

TEST_F(SweepSlurm, WhatIsQueuedOrDoneIsNotSubmittedAgain) {
  const std::vector<SweepRun> runs = tiny_runs(4, scratch.path());
  submitted(runs);
  write_file(folder.run_dir("seed-1") / "result.json", "{}");
  RunStatus failed = status("seed-3");
  failed.state = RunState::failed;
  failed.restarts = 2;
  write_file(folder.run_dir("seed-3") / "config.toml", "");
  write_status(folder.run_dir("seed-3"), failed);
  write_file(queue, "101_1|PENDING\n101_2|COMPLETED\n");
  const std::vector<SubmittedArray> arrays = submitted(runs);
  ASSERT_EQ(arrays.size(), 1u);
  EXPECT_EQ(arrays[0].runs, (std::vector<std::string>{"seed-3", "seed-4"})) << "failed; job gone";
  EXPECT_EQ(status("seed-3").restarts, 3);
  EXPECT_EQ(status("seed-4").restarts, 0) << "it was never opened";
  EXPECT_NE(read_file(at("asked")).find("--jobs=101"), std::string::npos);
  write_file(queue, "101_1|RUNNING\n102_0|RUNNING\n102_1|PENDING\n");
  EXPECT_TRUE(submitted(runs).empty());
}

TEST_F(SweepSlurm, ARunThatWasMarkedCanBeOpened) {
  const std::vector<SweepRun> runs = tiny_runs(1, scratch.path(), 2);
  write_folder(folder, "", runs);
  submitted(runs);
  const ProgramResult r =
      mixspan({"train", folder.config("seed-1"), "--run-dir", folder.run_dir("seed-1")});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(status("seed-1").state, RunState::done);
  EXPECT_EQ(status("seed-1").restarts, 0);
}

TEST_F(SweepSlurm, ARefusalIsSbatchsOwnWordsAndMarksNothing) {
  write_file(at("refuse-1"),
             "sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch job submission "
             "failed: Invalid partition name specified\n");
  const std::string message = refusal([&] { submitted(tiny_runs(2, scratch.path())); });
  EXPECT_NE(message.find("invalid partition specified: gpu; Batch job submission failed"),
            std::string::npos)
      << message;
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_FALSE(fs::exists(folder.run_dir("seed-1")));
}

TEST_F(SweepSlurm, ManyRunsAreSeveralArraysAllOrNone) {
  write_file(limit, "MaxArraySize            = 2\n");
  std::vector<SweepRun> runs = tiny_runs(5, scratch.path());
  runs[1].config.parallel.dp = 2;
  const std::vector<SubmittedArray> arrays = submitted(runs);
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_EQ(arrays[0].runs, (std::vector<std::string>{"seed-1", "seed-3"}));
  EXPECT_EQ(arrays[1].runs, (std::vector<std::string>{"seed-2"}));
  EXPECT_EQ(arrays[1].ranks, 2);
  EXPECT_EQ(arrays[2].runs, (std::vector<std::string>{"seed-4", "seed-5"}));
  EXPECT_NE(read_file(at("script-2")).find("#SBATCH --ntasks=2\n"), std::string::npos);

  for (const SweepRun& run : runs) fs::remove_all(folder.run_dir(run.name));
  write_file(at("refuse-6"), "sbatch: error: QOSMaxSubmitJobPerUserLimit\n");
  EXPECT_NE(refusal([&] { submitted(runs); }).find("QOSMaxSubmitJobPerUserLimit"),
            std::string::npos);
  EXPECT_EQ(read_file(at("cancelled")), "104 105\n");
  EXPECT_FALSE(fs::exists(folder.run_dir("seed-1")));
}

TEST_F(SweepSlurm, AQueueThatDoesNotAnswerSubmitsNothing) {
  const std::vector<SweepRun> runs = tiny_runs(2, scratch.path());
  submitted(runs);
  program("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
  EXPECT_THROW(submitted(runs), Error);
  EXPECT_EQ(read_file(at("count")), "1\n");
  program("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
  EXPECT_EQ(submitted(runs).size(), 1u) << "an old job that Slurm has forgotten";
}

TEST_F(SweepSlurm, WatchingEndsWithTheJobs) {
  const std::vector<SweepRun> runs = tiny_runs(2, scratch.path());
  submitted(runs);  // and squeue knows none of them
  const StopSignal signals;
  const Lease lease = Lease::take(folder.path(), 0);
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  SweepTable table(nowhere);
  EXPECT_EQ(watch_jobs(folder, names_of(runs), lease, signals, table), kStopped);
  for (const SweepRun& run : runs) write_file(folder.run_dir(run.name) / "result.json", "{}");
  EXPECT_EQ(watch_jobs(folder, names_of(runs), lease, signals, table), kFinished);
  fs::remove(folder.run_dir("seed-2") / "result.json");
  RunStatus failed = status("seed-2");
  failed.state = RunState::failed;
  write_status(folder.run_dir("seed-2"), failed);
  EXPECT_EQ(watch_jobs(folder, names_of(runs), lease, signals, table), kFailure);
  write_file(folder.path() / "lease.json", "{}");
  EXPECT_THROW(watch_jobs(folder, names_of(runs), lease, signals, table), LeaseLost);
  std::fclose(nowhere);
}

TEST_F(SweepSlurm, WithoutSlurmOneLineSaysSo) {
  fs::remove(bin / "sbatch");
  const Path without(bin.string());
  const std::string message = refusal([] { require_slurm(); });
  EXPECT_NE(message.find("no sbatch"), std::string::npos) << message;
  EXPECT_NE(message.find("--launcher local"), std::string::npos) << message;
  EXPECT_FALSE(has_slurm());
}

}  // namespace
}  // namespace mixspan
