// Ranks as processes under mpirun: the tests that every communicator passes, and how a run ends
// when a rank fails, dies, stays away or disagrees.
#include <gtest/gtest.h>

#include <cstdlib>

#include "parallel/comm_mpi.h"
#include "tests/parallel/communicator_bodies.h"
#include "tests/support/program.h"

namespace mixspan {
namespace {

test::ProgramResult mpirun(int ranks, const std::string& argument) {
  std::vector<std::string> command = test::mpirun(ranks);
  command.insert(command.end(), {MIXSPAN_TEST_PARALLEL_MPI, "--gtest_color=no", argument});
  return test::Program(command).wait();
}

int times(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

class Bodies : public testing::TestWithParam<std::pair<int, std::string>> {};

TEST_P(Bodies, PassUnderMpirun) {
  const auto& [ranks, argument] = GetParam();
  const test::ProgramResult result = mpirun(ranks, argument);
  const std::string passed =
      "[  PASSED  ] " + std::to_string(test::communicator_bodies().size() + 1) + " tests.";
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_EQ(times(result.out, passed), ranks) << result.out;
}

INSTANTIATE_TEST_SUITE_P(
    Mpi, Bodies,
    testing::Values(std::pair{1, "--pieces=1000000"}, std::pair{2, "--pieces=1000000"},
                    std::pair{3, "--pieces=777"}, std::pair{4, "--pieces=1000000"}),
    [](const auto& instance) { return "OnRanks" + std::to_string(instance.param.first); });

TEST(Mpi, AnErrorOfOneRankEndsAllWithItsStatus) {
  const test::ProgramResult result = mpirun(3, "--end=throw");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(times(result.err, "rank 2 says: no such token\n"), 1) << result.err;
  for (const std::string rank : {"0", "1"}) {
    EXPECT_EQ(
        times(result.err, "rank " + rank +
                              " says: rank 2 failed: no such token\nlast operations of rank " +
                              rank + ":\n  world barrier \"start\""),
        1)
        << result.err;
  }
}

TEST(Mpi, ARankThatStaysAwayIsNamedAndAllEnd) {
  const test::ProgramResult result = mpirun(3, "--end=stay");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_GE(times(result.err,
                  "waited more than 0.5 s in all_reduce_sum \"gradients\" of layer 5 (call 1) for"),
            2)
      << result.err;
  EXPECT_GE(
      times(result.err, "rank 2 (sends nothing; last heard of in barrier \"start\" (call 0))"), 2)
      << result.err;
}

TEST(Mpi, DifferentCallsAreNamed) {
  const test::ProgramResult result = mpirun(2, "--end=differ");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_GE(times(result.err, "all_reduce_sum \"gradients\" of layer 5 (call 1)"), 2) << result.err;
  EXPECT_GE(times(result.err, "broadcast \"weights\" (call 1)"), 2) << result.err;
}

TEST(Mpi, AbortReachesAll) {
  const test::ProgramResult result = mpirun(3, "--end=abort");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(times(result.err, "says: rank 2 failed: disk full\n"), 3) << result.err;
}

TEST(Mpi, ARankThatDiesEndsAll) {
  EXPECT_EQ(mpirun(3, "--end=exit").exit_code, 3);
  EXPECT_NE(mpirun(3, "--end=kill").exit_code, 0);
}

TEST(Mpi, CallsUnderWayAreTakenBackWhenAnErrorPasses) {
  const test::ProgramResult result = mpirun(3, "--end=drop");
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(times(result.err, "rank 2 says: no such token\n"), 1) << result.err;
  EXPECT_EQ(times(result.err, "says: rank 2 failed: no such token\n"), 2) << result.err;
}

TEST(LaunchedByMpi, LooksAtTheEnvironment) {
  const std::vector<std::string> names = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                          "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_NTASKS"};
  const auto with = [&names](const std::vector<std::pair<std::string, std::string>>& set) {
    for (const std::string& name : names) ::unsetenv(name.c_str());
    for (const auto& [name, text] : set) ::setenv(name.c_str(), text.c_str(), 1);
    const bool launched = launched_by_mpi();
    for (const std::string& name : names) ::unsetenv(name.c_str());
    return launched;
  };
  EXPECT_FALSE(with({}));
  EXPECT_FALSE(with({{"OMPI_COMM_WORLD_SIZE", "1"}}));
  EXPECT_TRUE(with({{"OMPI_COMM_WORLD_SIZE", "2"}}));
  EXPECT_TRUE(with({{"PMIX_RANK", "0"}}));
  EXPECT_TRUE(with({{"SLURM_STEP_NUM_TASKS", "4"}, {"SLURM_PROCID", "0"}}));
  EXPECT_FALSE(with({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}));  // the script of a job
  EXPECT_FALSE(with({{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}}));
}

}  // namespace
}  // namespace mixspan
