// Ranks as threads: what every communicator must do, on 1 to 8 ranks, and how a run ends when ranks
// fail, stay away or disagree.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "parallel/comm_history.h"
#include "parallel/thread_ranks.h"
#include "tests/parallel/communicator_bodies.h"

namespace mixspan {
namespace {

using test::CommunicatorBody;

class OnThreads : public testing::TestWithParam<std::tuple<int, CommunicatorBody>> {};

TEST_P(OnThreads, Body) {
  const auto& [ranks, body] = GetParam();
  run_thread_ranks(ranks, {.timeout_seconds = 60},
                   [&body](std::unique_ptr<Communicator> world) { body.run(*world); });
}

TEST_P(OnThreads, BodyWithDelayedLinks) {
  const auto& [ranks, body] = GetParam();
  // Small messages come before large ones that were sent earlier.
  run_thread_ranks(
      ranks,
      {.timeout_seconds = 60, .link_delay = {.seconds_per_message = 1e-5, .bytes_per_second = 1e8}},
      [&body](std::unique_ptr<Communicator> world) { body.run(*world); });
}

INSTANTIATE_TEST_SUITE_P(Communicator, OnThreads,
                         testing::Combine(testing::Values(1, 2, 3, 4, 8),
                                          testing::ValuesIn(test::communicator_bodies())),
                         [](const auto& instance) {
                           return std::get<1>(instance.param).name +
                                  std::to_string(std::get<0>(instance.param));
                         });

TEST(SelfCommunicator, IsTheIdentityAndCountsNothing) {
  for (const CommunicatorBody& body : test::communicator_bodies()) {
    const auto self = make_self_communicator();
    SCOPED_TRACE(body.name);
    body.run(*self);
    EXPECT_TRUE(self->traffic().empty());
  }
}

/// Runs body and collects what each rank that fails says; the last is what comes out at the end.
struct Failure {
  std::vector<std::string> of_rank;
  std::string thrown;
};
Failure run_to_failure(int ranks, double timeout_seconds,
                       const std::function<void(Communicator&)>& body) {
  Failure failure{std::vector<std::string>(static_cast<std::size_t>(ranks)), ""};
  try {
    run_thread_ranks(ranks, {.timeout_seconds = timeout_seconds},
                     [&](std::unique_ptr<Communicator> world) {
                       try {
                         body(*world);
                       } catch (const std::exception& e) {
                         failure.of_rank[static_cast<std::size_t>(world->rank())] = e.what();
                         throw;
                       }
                     });
  } catch (const std::exception& e) {
    failure.thrown = e.what();
  }
  return failure;
}

testing::AssertionResult has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "no \"" << part << "\" in: " << text;
}

TEST(ThreadRanks, AnErrorOfOneRankEndsAllAndComesOut) {
  const Failure failure = run_to_failure(4, 60, [](Communicator& world) {
    world.barrier({.what = "start"});
    if (world.rank() == 2) throw std::out_of_range("no such token");
    world.barrier({.what = "end of step"});
  });
  EXPECT_EQ(failure.thrown, "no such token");
  for (const int rank : {0, 1, 3}) {
    const std::string& text = failure.of_rank[static_cast<std::size_t>(rank)];
    EXPECT_TRUE(has(text, "rank 2 failed: no such token\nlast operations")) << rank;
    EXPECT_TRUE(has(text, fmt::format("last operations of rank {}:\n  world barrier \"start\" "
                                      "(call 0), 0 bytes sent: ",
                                      rank)));
  }
}

TEST(ThreadRanks, TheKindOfTheErrorIsKept) {
  EXPECT_THROW(run_thread_ranks(3, {},
                                [](std::unique_ptr<Communicator> world) {
                                  if (world->rank() == 1) refuse("no such file");
                                  world->barrier({.what = "b"});
                                }),
               InputError);
}

TEST(ThreadRanks, TheMissingRankAndItsLastCallAreNamed) {
  const Failure failure = run_to_failure(3, 0.3, [](Communicator& world) {
    const auto cp = world.split(world.rank() == 0 ? 1 : 0, "cp");  // ranks 1 and 2
    Tensor x({6});
    cp->all_reduce_sum({.what = "norm", .layer = 4}, x).wait();
    if (world.rank() == 1) cp->barrier({.what = "late", .layer = 5});
  });
  EXPECT_TRUE(
      has(failure.thrown,
          "rank 0 of cp (1 in the world) waited more than 0.3 s in barrier \"late\" of layer "
          "5 (call 1) for rank 1 of cp (2 in the world) (sends nothing; last heard of in "
          "all_reduce_sum \"norm\" of layer 4 (call 0))\nlast operations of rank 1:\n  world "
          "split \"split\" (call 0), 32 bytes sent: done in "));
  EXPECT_TRUE(has(failure.thrown,
                  "\n  cp all_reduce_sum \"norm\" of layer 4 (call 0), 24 bytes sent: done in "));
  EXPECT_TRUE(has(failure.thrown,
                  "\n  cp barrier \"late\" of layer 5 (call 1), 0 bytes sent: NOT DONE after "));
}

TEST(ThreadRanks, ARankThatStaysAwayEndsAll) {
  const Failure failure = run_to_failure(4, 0.3, [](Communicator& world) {
    if (world.rank() != 3) world.barrier({.what = "end"});
  });
  EXPECT_TRUE(has(failure.thrown, "for rank 3 (sends nothing; never heard of on this axis)"));
  for (const int rank : {0, 1, 2}) {
    EXPECT_TRUE(has(failure.of_rank[static_cast<std::size_t>(rank)],
                    "waited more than 0.3 s in barrier \"end\" (call 0) for rank 3"));
  }
}

TEST(ThreadRanks, ARankThatOthersGiveUpSaysWhomItWaitedFor) {
  std::atomic<bool> waits = false;
  const Failure failure = run_to_failure(3, 0, [&](Communicator& world) {
    if (world.rank() == 0) {
      waits = true;
      waits.notify_one();
      world.barrier({.what = "end"});
    }
    if (world.rank() == 1) {
      waits.wait(false);
      std::this_thread::sleep_for(std::chrono::milliseconds(1200));
      world.abort("rank 1 waited for rank 0");
    }
  });
  const std::string& text = failure.of_rank[0];
  EXPECT_TRUE(has(text, "rank 1 waited for rank 0; rank 0 itself had waited "));
  EXPECT_TRUE(has(text, " s in barrier \"end\" (call 0) for "));
  EXPECT_TRUE(has(text, "rank 2 (sends nothing; never heard of on this axis)\nlast operations"));
}

TEST(History, KeepsTheLastOperations) {
  History history;
  const History::Clock::time_point start{};
  for (int i = 0; i < 40; ++i) {
    Envelope envelope;
    envelope.sequence = i;
    const std::int64_t number = history.begin("cp", envelope, start);
    if (i < 39) history.finish(number, 100 + i, start + std::chrono::milliseconds(i));
  }
  history.finish(3, 1, start);  // no longer kept
  const std::string text = history.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), History::kKept);
  EXPECT_FALSE(has(text, "(call 7)"));
  EXPECT_TRUE(has(text, "\n  cp barrier \"\" (call 8), 108 bytes sent: done in 0.008000 s\n"));
  EXPECT_TRUE(has(text, "(call 38), 138 bytes sent: done in 0.038000 s\n"));
  EXPECT_TRUE(has(text, "(call 39), 0 bytes sent: NOT DONE after "));
}

TEST(ThreadRanks, DifferentCallsAreNamed) {
  const Failure failure = run_to_failure(2, 60, [](Communicator& world) {
    Tensor x({8});
    if (world.rank() == 0) {
      world.all_gather({.what = "keys", .layer = 1}, x, std::vector<Range>{{0, 4}, {4, 8}}).wait();
    } else {
      world.all_reduce_sum({.what = "weights", .layer = 1}, x).wait();
    }
  });
  EXPECT_TRUE(has(failure.thrown, "ranks make different calls"));
  EXPECT_TRUE(has(failure.thrown, "rank 0 makes all_gather \"keys\" of layer 1 (call 0)"));
  EXPECT_TRUE(has(failure.thrown, "rank 1 makes all_reduce_sum \"weights\" of layer 1 (call 0)"));
}

TEST(ThreadRanks, CallsThatDifferInLayerSizeOrNumberAreNamed) {
  const auto layer = run_to_failure(
      2, 60, [](Communicator& world) { world.barrier({.what = "b", .layer = world.rank()}); });
  EXPECT_TRUE(has(layer.thrown, "of layer 0 (call 0)"));
  EXPECT_TRUE(has(layer.thrown, "of layer 1 (call 0)"));

  const auto size = run_to_failure(2, 60, [](Communicator& world) {
    Tensor x({world.rank() == 0 ? 3 : 5});
    world.broadcast({.what = "b"}, x, 0).wait();
    world.barrier({.what = "end"});
  });
  EXPECT_TRUE(has(size.thrown,
                  "sizes differ in broadcast \"b\" (call 0): rank 1 expects 20 bytes, "
                  "rank 0 sends 12"));

  const auto number = run_to_failure(2, 60, [](Communicator& world) {
    if (world.rank() == 1) world.exchange({.what = "e"}, {}, {}).wait();
    world.barrier({.what = "b"});
  });
  EXPECT_TRUE(has(number.thrown, "(call 0)"));
  EXPECT_TRUE(has(number.thrown, "(call 1)"));
}

TEST(ThreadRanks, ACallThatIsDroppedEndsTheRun) {
  const auto failure = run_to_failure(2, 60, [](Communicator& world) {
    {
      Tensor x({1000});
      const Pending dropped = world.broadcast({.what = "lost"}, x, 1 - world.rank());
    }
    world.barrier({.what = "end"});
  });
  EXPECT_TRUE(has(failure.thrown,
                  "no call is possible after broadcast \"lost\" (call 0) was dropped "
                  "before its end"));
}

TEST(ThreadRanks, AbortReachesThoseWhoWait) {
  const auto failure = run_to_failure(3, 0, [](Communicator& world) {
    const auto pair = world.split(world.rank() / 2, "pair");
    if (world.rank() == 2) {
      pair->abort("disk full");
    } else {
      Tensor x({4});
      if (pair->rank() == 0) pair->exchange({.what = "never"}, {}, {{{1, x}}}).wait();
      world.barrier({.what = "end"});
    }
  });
  EXPECT_TRUE(has(failure.of_rank[0], "rank 2 failed: disk full"));
  EXPECT_TRUE(has(failure.of_rank[1], "rank 2 failed: disk full"));
  EXPECT_TRUE(has(failure.thrown, "rank 2 failed: disk full"));
}

TEST(ThreadRanks, BadPartsAreRefusedBeforeAnythingIsSent) {
  run_thread_ranks(2, {.timeout_seconds = 60}, [](std::unique_ptr<Communicator> world) {
    Tensor x({8});
    for (const std::vector<Range>& parts :
         {std::vector<Range>{{0, 8}}, {{0, 4}, {5, 8}}, {{0, 4}, {4, 7}}, {{0, 9}, {9, 8}}}) {
      EXPECT_THROW(world->all_gather({.what = "x"}, x, parts).wait(), Error);
    }
    world->barrier({.what = "still usable"});
  });
}

/// The first step of `late` ends on rank 1 only when the link has carried its message, on rank 0 at
/// once; `early` is ready everywhere. Still both ranks must take the second steps in one order.
TEST(ThreadRanks, SecondStepsAreTakenInTheOrderOfTheCalls) {
  run_thread_ranks(2, {.timeout_seconds = 60, .link_delay = {.bytes_per_second = 4 / 0.02}},
                   [](std::unique_ptr<Communicator> world) {
                     Tensor one({1}), none({0});
                     one.data<float>()[0] = static_cast<float>(world->rank() + 1);
                     Pending late = world->all_reduce_sum({.what = "late"}, one);
                     Pending early = world->all_reduce_sum({.what = "early"}, none);
                     early.wait();
                     late.wait();
                     EXPECT_EQ(one.data<float>()[0], 3);
                   });
}

TEST(ThreadRanks, AMessageDoesNotComeBeforeItsDelay) {
  const double seconds = 0.05;
  using Clock = std::chrono::steady_clock;
  run_thread_ranks(2,
                   {.timeout_seconds = 60,
                    .link_delay = {.seconds_per_message = 0, .bytes_per_second = 4e3 / seconds}},
                   [&](std::unique_ptr<Communicator> world) {
                     const Clock::time_point begin = Clock::now();
                     Tensor x({1000});
                     if (world->rank() == 0) x.data<float>()[999] = 3;
                     world->broadcast({.what = "4000 bytes"}, x, 0).wait();
                     EXPECT_EQ(x.data<float>()[999], 3);
                     if (world->rank() == 1) {
                       EXPECT_GE(std::chrono::duration<double>(Clock::now() - begin).count(),
                                 0.9 * seconds);
                     }
                   });
}

}  // namespace
}  // namespace mixspan
