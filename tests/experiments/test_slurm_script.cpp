// The job script of a sweep: its text, and what it does when its srun ends in one way or another.
#include <gtest/gtest.h>

#include <thread>

#include "experiments/sweep/slurm_script.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

using namespace test;
namespace fs = std::filesystem;

SlurmArray array_of(const fs::path& folder) {
  return {"placement", 4, false, 6, folder, "/opt/mixspan", "/place"};
}

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

TEST(SlurmScript, PassesEveryKeyOn) {
  SlurmLaunch l;
  l.partition = "gpu";
  l.account = "lab";
  l.qos = "long";
  l.constraint = "a100&ib";
  l.time = "4:00:00";
  l.nodes = 2;
  l.tasks_per_node = 2;
  l.cpus_per_task = 8;
  l.gpus_per_node = 2;
  l.mem = "64G";
  l.max_at_once = 3;
  l.signal_before_s = 300;
  l.max_restarts = 5;
  l.modules = {"gcc/12", "openmpi"};
  l.setup = {"export UCX_TLS=rc"};
  l.sbatch = {"--exclusive"};
  l.srun = {"--mpi=pmix", "--container-image=my image.sqsh"};
  SlurmArray array = array_of("/scratch/runs/p");
  array.on_gpus = true;
  const std::string script = array_script(l, array);
  expect_parts(script, {"#!/bin/bash\n",
                        "\n#SBATCH --job-name=placement\n",
                        "\n#SBATCH --array=0-5%3\n",
                        "\n#SBATCH --partition=gpu\n",
                        "\n#SBATCH --account=lab\n",
                        "\n#SBATCH --qos=long\n",
                        "\n#SBATCH --constraint=a100&ib\n",
                        "\n#SBATCH --time=4:00:00\n",
                        "\n#SBATCH --nodes=2\n",
                        "\n#SBATCH --ntasks=4\n",
                        "\n#SBATCH --ntasks-per-node=2\n",
                        "\n#SBATCH --cpus-per-task=8\n",
                        "\n#SBATCH --gpus-per-node=2\n",
                        "\n#SBATCH --mem=64G\n",
                        "\n#SBATCH --requeue\n",
                        "\n#SBATCH --open-mode=append\n",
                        "\n#SBATCH --signal=B:USR1@300\n",
                        "\n#SBATCH --chdir=\"/place\"\n",
                        "\n#SBATCH --output=\"/scratch/runs/p/slurm/%A_%a.log\"\n",
                        "\n#SBATCH --exclusive\n",
                        "\nfolder=/scratch/runs/p\n",
                        "\nmixspan=/opt/mixspan\n",
                        "\nmax_restarts=5\n",
                        "\nmodule load gcc/12\nmodule load openmpi\nexport UCX_TLS=rc\n",
                        "\n  srun --kill-on-bad-exit=1 --cpus-per-task=8 --mpi=pmix "
                        "'--container-image=my image.sqsh' \"$mixspan\" train"});
  EXPECT_LT(script.rfind("#SBATCH"), script.find("\nfolder=")) << "sbatch stops at the first line";
}

TEST(SlurmScript, LeavesToTheClusterWhatIsNotSaid) {
  const std::string script = array_script({}, array_of("/p"));
  expect_parts(script, {"#SBATCH --array=0-5\n", "#SBATCH --ntasks=4\n", "USR1@120\n"});
  for (const char* option : {"--nodes", "--partition", "--time", "--mem", "--gpus", "--cpus"}) {
    EXPECT_EQ(script.find(option), std::string::npos) << option;
  }
}

TEST(SlurmScript, FindsTheNodesForTheRanks) {
  SlurmLaunch l;
  l.tasks_per_node = 3;
  expect_parts(array_script(l, array_of("/p")), {"--nodes=2\n", "--ntasks-per-node=3\n"});
  l = {};
  l.nodes = 4;
  expect_parts(array_script(l, array_of("/p")), {"--nodes=4\n", "--ntasks-per-node=1\n"});
  l.nodes = 8;
  expect_parts(refusal([&] { array_script(l, array_of("/p")); }),
               {"slurm.nodes = 8", "4 ranks", "wanted"});
  l.nodes = 1;
  l.tasks_per_node = 2;
  expect_parts(refusal([&] { array_script(l, array_of("/p")); }), {"slurm.tasks_per_node = 2"});
}

TEST(SlurmScript, GivesEachRankAGpuAndRunsOnTheCpuNone) {
  SlurmLaunch l;
  SlurmArray array = array_of("/p");
  array.on_gpus = true;
  expect_parts(refusal([&] { array_script(l, array); }), {"slurm.gpus_per_node = 0", "--gres"});
  l.sbatch = {"--gres=gpu:a100:4"};
  expect_parts(array_script(l, array), {"#SBATCH --gres=gpu:a100:4\n", "#SBATCH --ntasks=4\n"});
  l.sbatch = {};
  l.gpus_per_node = 2;
  expect_parts(array_script(l, array),
               {"--nodes=2\n", "--ntasks-per-node=2\n", "--gpus-per-node=2\n"});
  l.nodes = 1;
  expect_parts(refusal([&] { array_script(l, array); }), {"slurm.gpus_per_node = 2: 4 ranks"});
  l.nodes = 4;
  expect_parts(array_script(l, array), {"--ntasks-per-node=1\n"});
  array.on_gpus = false;
  EXPECT_EQ(array_script(l, array).find("--gpus"), std::string::npos);
}

TEST(SlurmScript, KeepsStrangePathsTogether) {
  EXPECT_EQ(shell_word("a b'c$d"), "'a b'\\''c$d'");
  EXPECT_EQ(shell_word(""), "''");
  expect_parts(array_script({}, array_of("/a b/50%")),
               {"folder='/a b/50%'\n", "--output=\"/a b/50%%/slurm/%A_%a.log\"\n"});
  EXPECT_NE(refusal([] { array_script({}, array_of("/a\"b")); }), "");
}

// The script as Slurm starts it, with commands that write down what they are asked.
class SlurmTask : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder / "slurm");
    fs::create_directories(run_dir);
    fs::create_directories(bin);
    write_file(folder / "slurm/runs-77.txt", "run-a\nrun b\n");
    write_file(script, array_script({}, {"s", 1, false, 2, folder, "/opt/mixspan", folder}));
    // The requeue ends the script, as Slurm's does.
    program("scontrol", "echo \"$*\" >>" + said.string() +
                            "\n[[ $1 = requeue ]] && kill $PPID\n[[ $1 = show ]] && cat " +
                            (scratch / "job").string());
    write_file(said, "");
  }
  void program(const std::string& name, const std::string& body) {
    write_file(bin / name, "#!/bin/bash\n" + body + "\n");
    fs::permissions(bin / name, fs::perms::owner_all);
  }
  void status(const std::string& state) {
    write_file(run_dir / "status.json", fmt::format("{{\n  \"state\": \"{}\"\n}}\n", state));
  }
  std::vector<std::string> command(int restart = 0) const {
    return {"/usr/bin/env",
            "PATH=" + bin.string() + ":/usr/bin:/bin",
            "SLURM_ARRAY_JOB_ID=77",
            "SLURM_ARRAY_TASK_ID=1",
            fmt::format("SLURM_RESTART_COUNT={}", restart),
            "SLURM_JOB_NODELIST=n[1-2]",
            "/bin/bash",
            script.string()};
  }
  // What `scontrol show job` says of the task.
  void job(const std::string& state, const std::string& reason, int restarts = 0) {
    write_file(scratch / "job",
               fmt::format("JobId=79 ArrayJobId=77\n   JobState={} Reason={} Dependency=(null)\n"
                           "   Requeue=1 Restarts={} BatchFlag=1\n",
                           state, reason, restarts));
  }
  ProgramResult run_script(int restart = 0) {
    if (!fs::exists(scratch / "job")) job("RUNNING", "None", restart);
    const ProgramResult result = Program(command(restart)).wait();
    fs::remove(scratch / "job");
    return result;
  }
  bool requeued() const { return read_file(said).find("requeue 77_1") != std::string::npos; }

  ScratchFolder scratch{memory_folder()};
  const fs::path folder = scratch / "sweep", bin = scratch / "bin", said = scratch / "said";
  const fs::path run_dir = folder / "runs/run b", script = scratch / "array.sbatch";
};

TEST_F(SlurmTask, StartsTheRunOfItsLine) {
  program("srun", "printf '%s\\n' \"$@\" >" + said.string());
  const ProgramResult r = run_script();
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_EQ(read_file(said), fmt::format("--kill-on-bad-exit=1\n--mpi=pmix\n/opt/mixspan\ntrain\n"
                                         "{0}/configs/run b.toml\n--run-dir\n{0}/runs/run b\n",
                                         folder.string()));
  EXPECT_NE(r.out.find("== run b: job 77_1, restart 0, on n[1-2]"), std::string::npos) << r.out;
}

TEST_F(SlurmTask, GoesBackToTheQueueWhereItOnlyStopped) {
  for (const char* code : {"75", "76"}) {
    write_file(said, "");
    program("srun", std::string("exit ") + code);
    run_script();
    EXPECT_TRUE(requeued()) << code;
  }
}

TEST_F(SlurmTask, StopsWhenRestartsAreUsedUp) {
  program("srun", "exit 75");
  EXPECT_EQ(run_script(19).exit_code, 128 + SIGTERM) << "by the requeue";
  EXPECT_TRUE(requeued());
  write_file(said, "");
  const ProgramResult r = run_script(20);
  EXPECT_EQ(r.exit_code, 75);
  EXPECT_FALSE(requeued());
  EXPECT_NE(r.err.find("sweep retry"), std::string::npos) << r.err;
}

TEST_F(SlurmTask, EndsWhereTheRunFailed) {
  program("srun", "exit 1");
  EXPECT_EQ(run_script().exit_code, 1);
  EXPECT_FALSE(requeued());
}

TEST_F(SlurmTask, EndsWhereItWasCancelled) {
  program("srun", "exit 75");
  for (const char* state : {"COMPLETING", "CANCELLED", "PREEMPTED", "REQUEUED"}) {
    job(state, "None");
    const ProgramResult r = run_script();
    EXPECT_EQ(r.exit_code, 75);
    EXPECT_NE(r.out.find(fmt::format("JobState={} Reason=None", state)), std::string::npos)
        << r.out;
    EXPECT_FALSE(requeued()) << state;
  }
  job("COMPLETING", "TimeLimit");
  run_script();
  EXPECT_TRUE(requeued()) << "the limit came before the run had saved";
}

TEST_F(SlurmTask, StartsAStepOnceMoreThatDidNotBegin) {
  const std::string count = (scratch / "steps").string();
  program("srun", "echo >>" + count + "; [[ $(wc -l <" + count + ") = 2 ]] || exit 139");
  EXPECT_EQ(run_script(0).exit_code, 0);
  EXPECT_EQ(read_file(count), "\n\n");
  EXPECT_EQ(run_script(1).exit_code, 139) << "once more, not twice";
  EXPECT_EQ(read_file(count), "\n\n\n\n");

  status("running");
  program("srun", "echo >>" + count + "; sed -i s/running/failed/ '" +
                      (run_dir / "status.json").string() + "'; exit 139");
  EXPECT_EQ(run_script(0).exit_code, 139) << "it had begun";
  EXPECT_EQ(read_file(count), "\n\n\n\n\n");
}

TEST_F(SlurmTask, LeavesALaterStartOfItsTaskAlone) {
  program("srun", "exit 76");
  job("RUNNING", "None", 3);
  EXPECT_EQ(run_script(2).exit_code, 76);
  EXPECT_FALSE(requeued());
}

TEST_F(SlurmTask, LeavesTheRunToTheJobThatTookItOver) {
  program("srun", "exit 76");
  const fs::path lease = run_dir / "lease.json";
  write_file(lease, "{\n  \"job_id\": \"81_0\"\n}\n");
  const ProgramResult r = run_script();
  EXPECT_EQ(r.exit_code, 76);
  EXPECT_NE(r.out.find("another job writes it"), std::string::npos) << r.out;
  EXPECT_FALSE(requeued());
  write_file(lease, "{\n  \"job_id\": \"77_1\"\n}\n");
  run_script();
  EXPECT_TRUE(requeued()) << "its own, of a rank that was lost";
}

TEST_F(SlurmTask, BelievesTheRunWhereSrunHidesItsCode) {
  status("running");
  program("srun",
          "sed -i s/running/interrupted/ '" + (run_dir / "status.json").string() + "'; exit 143");
  run_script();
  EXPECT_TRUE(requeued());
  write_file(said, "");
  program("srun", "exit 143");  // "interrupted" is of an earlier start now
  EXPECT_EQ(run_script().exit_code, 143);
  EXPECT_FALSE(requeued());
}

TEST_F(SlurmTask, TriesAgainWhileAnotherProcessHoldsTheRun) {
  program("srun", "exit 2");
  status("running");
  run_script();
  EXPECT_TRUE(requeued());
  write_file(said, "");
  status("failed");
  EXPECT_EQ(run_script().exit_code, 2) << "a config that is refused";
  EXPECT_FALSE(requeued());
}

TEST_F(SlurmTask, HandsSignalsOnAsUsr1AndWaits) {
  for (const int number : {SIGUSR1, SIGTERM}) {
    write_file(said, "");
    fs::remove(scratch / "ready");
    program("srun", "trap 'echo got-usr1 >>" + said.string() + "; exit 75' USR1\ntouch " +
                        (scratch / "ready").string() + "\nwhile :; do sleep 0.05; done");
    job("RUNNING", "None");
    Program task(command());
    while (task.running() && !fs::exists(scratch / "ready")) std::this_thread::yield();
    task.signal(number);
    const ProgramResult r = task.wait();
    EXPECT_NE(read_file(said).find("got-usr1"), std::string::npos) << r.out << r.err;
    EXPECT_TRUE(requeued()) << number;
    EXPECT_NE(r.out.find("srun ended with 75"), std::string::npos) << r.out;
  }
}

TEST_F(SlurmTask, WaitsForItsListWhileTheSubmissionGoesOn) {
  const std::string list = (folder / "slurm/runs-77.txt").string();
  const std::string sign = (folder / "slurm/submitting.txt").string();
  const std::string slept = (scratch / "slept").string();
  program("srun", "exit 0");
  fs::rename(list, list + ".later");
  program("sleep", fmt::format("echo >>{0}\n[[ $(wc -l <{0}) = 20{1} ]] && mv {2}.later {2}\n"
                               "[[ $(wc -l <{0}) -gt 100 ]] || echo >>{3}",
                               slept, 0, list, sign));
  const ProgramResult late = run_script();
  EXPECT_EQ(late.exit_code, 0) << late.err;
  EXPECT_EQ(read_file(slept).size(), 200u);

  fs::remove(list);
  fs::remove(slept);
  program("sleep", "echo >>" + slept);
  EXPECT_EQ(run_script().exit_code, 1) << "nobody makes it";
  EXPECT_LE(read_file(slept).size(), 122u);
}

TEST_F(SlurmTask, SaysWhereItsLineIsMissing) {
  program("srun", "exit 0");
  write_file(folder / "slurm/runs-77.txt", "run-a\n");
  const ProgramResult r = run_script();
  EXPECT_EQ(r.exit_code, 1);
  EXPECT_NE(r.err.find("names no run for task 1"), std::string::npos) << r.err;
}

}  // namespace
}  // namespace mixspan
