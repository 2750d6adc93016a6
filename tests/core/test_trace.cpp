// Traces: what is recorded from many threads, within fixed memory.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "core/trace.h"
#include "tests/support/fixture.h"

namespace mixspan {
namespace {

using nlohmann::json;

/// The complete events of a trace.
std::vector<json> ranges(const json& trace) {
  std::vector<json> found;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") found.push_back(event);
  }
  return found;
}

TEST(Trace, NestsRangesAndTimesThem) {
  Tracer tracer(3);
  {
    const TraceRange outer(&tracer, "outer");
    const TraceRange inner(&tracer, "in \"ner\"\n");
  }
  const json trace = json::parse(tracer.json());
  const std::vector<json> found = ranges(trace);
  ASSERT_EQ(found.size(), 2u);
  const json &inner = found[0], &outer = found[1];  // the inner range ends first
  EXPECT_EQ(inner.at("name"), "in \"ner\"\n");
  EXPECT_EQ(outer.at("name"), "outer");
  EXPECT_EQ(outer.at("pid"), 3);
  EXPECT_EQ(inner.at("tid"), outer.at("tid"));
  const double begin = outer.at("ts"), end = begin + outer.at("dur").get<double>();
  EXPECT_GE(begin, 0.0);
  EXPECT_GE(inner.at("ts").get<double>(), begin);
  EXPECT_LE(inner.at("ts").get<double>() + inner.at("dur").get<double>(), end + 1e-3);
  EXPECT_EQ(trace.at("traceEvents")[0].at("args").at("name"), "rank 3");
}

TEST(Trace, RecordsGivenTimesInMicroseconds) {
  Tracer tracer;
  const auto now = Tracer::Clock::now();
  tracer.add("x", now, now + std::chrono::nanoseconds(1'234'567));
  EXPECT_DOUBLE_EQ(ranges(json::parse(tracer.json())).at(0).at("dur").get<double>(), 1234.567);
}

TEST(Trace, DropsWhatHasNoRoomAndSaysSo) {
  Tracer tracer(0, 3);
  for (int i = 0; i < 10; ++i) TraceRange(&tracer, std::to_string(i));
  EXPECT_EQ(tracer.events(), 3u);
  EXPECT_EQ(tracer.dropped(), 7u);
  const json trace = json::parse(tracer.json());
  const std::vector<json> found = ranges(trace);
  ASSERT_EQ(found.size(), 3u);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(found[static_cast<std::size_t>(i)].at("name"), std::to_string(i));
  EXPECT_EQ(trace.at("otherData").at("dropped_events"), 7);
}

TEST(Trace, CutsLongNamesAndMendsBrokenOnes) {
  Tracer tracer;
  const std::string name = std::string(Tracer::kNameBytes - 1, 'x') + "\u00e9\u00e9";
  { const TraceRange range(&tracer, name); }
  { const TraceRange range(&tracer, "\xff"); }
  const std::vector<json> found = ranges(json::parse(tracer.json()));
  EXPECT_EQ(found.at(0).at("name"), std::string(Tracer::kNameBytes - 1, 'x') + "\ufffd");
  EXPECT_EQ(found.at(1).at("name"), "\ufffd");
}

TEST(Trace, SumsWhatLiesInsideTheRangesAskedFor) {
  Tracer tracer;
  const auto zero = Tracer::Clock::now();
  const auto add = [&](const char* name, int begin, int end) {
    tracer.add(name, zero + std::chrono::seconds(begin), zero + std::chrono::seconds(end));
  };
  add("a", 0, 1);    // before any step
  add("a", 11, 12);  // in the first, which is left out
  add("step", 10, 20);
  add("a", 31, 33), add("b", 33, 39), add("a", 39, 40);
  add("step", 30, 40);
  add("a", 45, 46);  // between two
  add("b", 50, 51), add("late", 59, 61);
  add("step", 50, 60);
  const std::vector<Tracer::Total> totals = tracer.totals("step", 1);
  ASSERT_EQ(totals.size(), 3u);
  EXPECT_EQ(totals[0].name, "step");
  EXPECT_EQ(totals[0].count, 2);
  EXPECT_DOUBLE_EQ(totals[0].seconds, 20);
  EXPECT_EQ(totals[1].name, "b");
  EXPECT_EQ(totals[1].count, 2);
  EXPECT_DOUBLE_EQ(totals[1].seconds, 7);
  EXPECT_EQ(totals[2].name, "a");
  EXPECT_DOUBLE_EQ(totals[2].seconds, 3);
  EXPECT_TRUE(tracer.totals("step", 3).empty());
  EXPECT_TRUE(tracer.totals("evaluate").empty());
}

TEST(Trace, GivesEachRangeItsOwnTimeAndTheWayToIt) {
  Tracer tracer;
  const auto zero = Tracer::Clock::now();
  const auto at = [&](int s) { return zero + std::chrono::seconds(s); };
  tracer.add("a", at(0), at(1));  // before the step
  tracer.add("c", at(12), at(13)), tracer.add("b", at(11), at(14));
  tracer.add("b", at(14), at(15)), tracer.add_beside("transfer", at(12), at(19));
  tracer.add("a", at(10), at(16)), tracer.add("c", at(16), at(18));
  std::thread([&] { tracer.add("elsewhere", at(11), at(17)); }).join();
  tracer.add("step", at(10), at(20));
  tracer.add("a", at(20), at(21));  // after it
  std::map<std::string, double> own;
  tracer.visit("step", 0, [&](std::span<const std::string_view> path, double seconds) {
    std::string way;
    for (const std::string_view name : path) way += "/" + std::string(name);
    own[way] += seconds;
  });
  const std::map<std::string, double> want{{"/step", 2},       {"/step/a", 2}, {"/step/a/b", 3},
                                           {"/step/a/b/c", 1}, {"/step/c", 2}, {"/elsewhere", 6}};
  EXPECT_EQ(own, want);
  tracer.visit("step", 1, [](auto, double) { ADD_FAILURE() << "the step was to be left out"; });
}

TEST(Trace, RecordsNothingWhileItIsOff) {
  Tracer tracer;
  {
    const TraceRange open_before(&tracer, "begun");
    tracer.record(false);
    const TraceRange not_seen(&tracer, "not seen");
    tracer.add("not seen", Tracer::Clock::now(), Tracer::Clock::now());
    tracer.record(true);
  }
  const std::vector<json> found = ranges(json::parse(tracer.json()));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].at("name"), "begun");
}

TEST(Trace, TakesEventsFromManyThreadsWhileItIsRead) {
  constexpr int kThreads = 4, kEach = 2000;
  Tracer tracer(0, kThreads * kEach - 100);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&tracer, t] {
      const std::string name = "thread " + std::to_string(t);
      for (int i = 0; i < kEach; ++i) const TraceRange range(&tracer, name);
    });
  }
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(json::accept(tracer.json()));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tracer.events(), std::size_t{kThreads * kEach - 100});
  EXPECT_EQ(tracer.dropped(), 100u);
  std::map<std::string, std::set<int>> thread_of;
  std::size_t count = 0;
  for (const json& event : ranges(json::parse(tracer.json()))) {
    thread_of[event.at("name")].insert(event.at("tid").get<int>());
    ++count;
  }
  EXPECT_EQ(count, tracer.events());
  for (const auto& [name, ids] : thread_of) EXPECT_EQ(ids.size(), 1u) << name;
}

TEST(Trace, IsWrittenInOneStep) {
  const test::ScratchFolder scratch;
  Tracer tracer;
  { const TraceRange range(&tracer, "a"); }
  tracer.write(scratch / "trace.json");
  EXPECT_EQ(test::read_file(scratch / "trace.json"), tracer.json());
  EXPECT_FALSE(std::filesystem::exists(scratch / "trace.json.tmp"));
}

}  // namespace
}  // namespace mixspan
