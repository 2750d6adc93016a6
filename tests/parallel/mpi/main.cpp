// The tests of communicators as processes under mpirun, and a rank that misbehaves on demand:
//   mpirun -np 4 test_parallel_mpi [--pieces=BYTES] [GoogleTest flags]
//   mpirun -np 4 test_parallel_mpi --end=throw|exit|kill|stay|differ|drop|abort
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "parallel/comm_mpi.h"
#include "tests/parallel/communicator_bodies.h"

namespace mixspan {
namespace {

/// What the last rank does while the others go on.
void misbehave(const std::string& end, Communicator& world) {
  Tensor x({1 << 20});  // more than MPI sends before it is received
  const bool last = world.rank() == world.size() - 1;
  world.barrier({.what = "start"});
  if (last && end == "throw") refuse("no such token");
  if (last && end == "exit") _exit(3);
  if (last && end == "kill") std::raise(SIGKILL);
  if (last && end == "stay") std::this_thread::sleep_for(std::chrono::seconds(120));
  if (last && end == "abort") world.abort("disk full");
  if (last && end == "differ") world.broadcast({.what = "weights"}, x, world.rank()).wait();
  if (last && end == "drop") {  // takes back what the others have begun to send
    Tensor lost({1 << 20});
    const Pending dropped = world.all_reduce_sum({.what = "gradients", .layer = 5}, lost);
    refuse("no such token");
  }
  world.all_reduce_sum({.what = "gradients", .layer = 5}, x).wait();
  world.barrier({.what = "end"});
}

class BodyTest : public testing::Test {
 public:
  BodyTest(test::CommunicatorBody body, Communicator& world)
      : body_(std::move(body)), world_(world) {}
  void TestBody() override { body_.run(world_); }

 private:
  test::CommunicatorBody body_;
  Communicator& world_;
};

int run_bodies(MpiWorld& mpi) {
  const std::unique_ptr<Communicator> world = mpi.communicator();
  for (const test::CommunicatorBody& body : test::communicator_bodies()) {
    testing::RegisterTest(
        "Communicator", body.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
        [body, &world]() -> testing::Test* { return new BodyTest(body, *world); });
  }
  testing::RegisterTest("Mpi", "RanksOfOneMachine", nullptr, nullptr, __FILE__, __LINE__,
                        [&]() -> testing::Test* {
                          const auto local = [&mpi](Communicator& all) {
                            EXPECT_EQ(mpi.rank(), all.rank());
                            EXPECT_EQ(mpi.local_rank(), all.rank());
                            EXPECT_EQ(mpi.local_size(), all.size());
                            EXPECT_THROW(mpi.communicator(), Error);
                          };
                          return new BodyTest({"", local}, *world);
                        });
  return RUN_ALL_TESTS();
}

int run(const std::string& end, std::int64_t pieces) {
  MpiWorld mpi({.timeout_seconds = end == "stay" ? 0.5 : 60, .largest_message = pieces});
  try {
    if (end.empty()) return run_bodies(mpi);
    misbehave(end, *mpi.communicator());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rank %d says: %s\n", mpi.rank(), e.what());
    mpi.abort(e.what(), dynamic_cast<const InputError*>(&e) != nullptr ? 2 : 1);
  }
  return 0;
}

}  // namespace
}  // namespace mixspan

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::string end;
  std::int64_t pieces = 1 << 30;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.starts_with("--end=")) end = argument.substr(6);
    if (argument.starts_with("--pieces=")) pieces = std::stoll(argument.substr(9));
  }
  if (!mixspan::launched_by_mpi()) std::fprintf(stderr, "not under mpirun: one rank\n");
  return mixspan::run(end, pieces);
}
