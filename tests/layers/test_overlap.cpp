// Keys and values travel while attention is computed: seen in the trace of ranks whose messages
// take their time.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/layers/split_attention.h"

namespace mixspan {
namespace {

using namespace test;

struct TracedRange {
  std::string name;
  double begin, end;  // seconds
  double seconds() const { return end - begin; }
};

/// What one rank did.
class Timeline {
 public:
  explicit Timeline(const Tracer& tracer) {
    EXPECT_EQ(tracer.dropped(), 0u);
    const nlohmann::json trace = nlohmann::json::parse(tracer.json());
    for (const nlohmann::json& event : trace.at("traceEvents")) {
      if (event.at("ph") != "X") continue;
      const double begin = 1e-6 * event.at("ts").get<double>();
      ranges_.push_back({event.at("name"), begin, begin + 1e-6 * event.at("dur").get<double>()});
    }
    std::stable_sort(ranges_.begin(), ranges_.end(),
                     [](const auto& a, const auto& b) { return a.begin < b.begin; });
  }

  std::vector<TracedRange> named(const std::string& name) const {
    std::vector<TracedRange> found;
    for (const TracedRange& r : ranges_) {
      if (r.name == name) found.push_back(r);
    }
    return found;
  }
  std::vector<TracedRange> attention_within(double begin, double end) const {
    std::vector<TracedRange> found = named("attention");
    std::erase_if(found, [&](const auto& r) { return r.begin < begin || r.end > end; });
    return found;
  }
  /// Seconds of attention between the posting of a transfer and the wait for it; of all transfers
  /// of that name.
  double hiding(const std::string& name) const {
    const std::vector<TracedRange> transfers = named(name), waits = named("wait " + name);
    double seconds = 0;
    for (std::size_t i = 0; i < transfers.size(); ++i) {
      for (const auto& r : attention_within(transfers[i].begin, waits.at(i).begin)) {
        seconds += r.seconds();
      }
    }
    return seconds;
  }
  double waited(const std::string& name) const {
    double seconds = 0;
    for (const TracedRange& r : named("wait " + name)) seconds += r.seconds();
    return seconds;
  }

 private:
  std::vector<TracedRange> ranges_;
};

std::vector<Timeline> timelines(const AttentionTensors& t, int cp, const AnySpan& span,
                                Transport transport, double seconds_per_message) {
  std::vector<std::unique_ptr<Tracer>> tracers;
  for (int rank = 0; rank < cp; ++rank) tracers.push_back(std::make_unique<Tracer>(rank, 1000));
  const SequenceLayout layout(LayoutKind::zigzag, t.q.shape()[1], cp);
  run_split(t, layout, {span, transport, {}, tracers},
            {.timeout_seconds = 60, .link_delay = {.seconds_per_message = seconds_per_message}});
  std::vector<Timeline> all;
  for (const auto& tracer : tracers) all.emplace_back(*tracer);
  return all;
}

struct Expected {
  std::string name;
  std::size_t count;     // of its transfers those that computation hides, the first ones
  bool encloses = true;  // and that are under way until some attention has ended
};

// "" when some attention lies between the posting of each transfer and the wait for it.
std::string not_hidden(const Timeline& rank, const Expected& e) {
  const std::vector<TracedRange> transfers = rank.named(e.name),
                                 waits = rank.named("wait " + e.name);
  if (transfers.size() < e.count) {
    return fmt::format("{} of {} {}; ", transfers.size(), e.count, e.name);
  }
  for (std::size_t i = 0; i < e.count; ++i) {
    const double begin = transfers[i].begin, wait = waits.at(i).begin;
    const double end = e.encloses ? std::min(transfers[i].end, wait) : wait;
    if (rank.attention_within(begin, end).empty()) {
      return fmt::format("{} number {} of {:.6f} s, waited for after {:.6f} s; ", e.name, i,
                         transfers[i].seconds(), wait - begin);
    }
  }
  return "";
}

// Messages take several times what the longest attention takes; one try in which no rank was kept
// from its work for that long is enough.
std::string best_not_hidden(const AnySpan& span, Transport transport, int cp,
                            const std::vector<Expected>& expected) {
  const AttentionTensors t({1, 600, 600, 3, 3, 16});
  std::string wrong;
  for (int attempt = 0; attempt < 5; ++attempt) {
    double longest = 0;
    for (const Timeline& rank : timelines(t, cp, span, transport, 0)) {
      for (const TracedRange& r : rank.named("attention")) longest = std::max(longest, r.seconds());
    }
    wrong.clear();
    for (const Timeline& rank : timelines(t, cp, span, transport, 0.005 + 5 * longest)) {
      for (const Expected& e : expected) wrong += not_hidden(rank, e);
    }
    if (wrong.empty()) return "";
  }
  return wrong;
}

TEST(Overlap, HalosTravelUnderComputation) {
  EXPECT_EQ(best_not_hidden(SlidingSpan{20}, Transport::halo, 3,
                            {{"cp halo layer 7", 1}, {"cp halo gradients layer 7", 1}}),
            "");
}

TEST(Overlap, RingBlocksTravelUnderComputation) {
  // Forward and backward pass 3 blocks each. Gradients go off as the next block is waited for, and
  // with messages as slow as these both come at once; the last hop goes home alone.
  EXPECT_EQ(best_not_hidden(FullSpan{}, Transport::ring, 4,
                            {{"cp ring layer 7", 6}, {"cp ring gradients layer 7", 2, false}}),
            "");
}

TEST(Overlap, TheCheckNoticesWhatNothingHides) {
  EXPECT_NE(best_not_hidden(FullSpan{}, Transport::gather, 3, {{"cp gathered keys layer 7", 1}}),
            "");
  EXPECT_NE(
      best_not_hidden(FullSpan{}, Transport::ring, 4, {{"cp ring gradients layer 7", 3, false}}),
      "");
}

const AnySpan kLongSpan = SlidingSpan{160};

// The part of a message's delay that is spent waiting for it, on the rank that waits longest: both
// get messages, so where nothing hid them one of the two would wait for all of the delay.
double exposed(const AttentionTensors& t) {
  const std::string names[] = {"cp halo layer 7", "cp halo gradients layer 7"};
  double interior = 1e9;
  for (const Timeline& rank : timelines(t, 2, kLongSpan, Transport::halo, 0)) {
    for (const std::string& name : names) interior = std::min(interior, rank.hiding(name));
  }
  const double delay = interior / 2;
  double longest = 0;
  for (const Timeline& rank : timelines(t, 2, kLongSpan, Transport::halo, delay)) {
    for (const std::string& name : names) longest = std::max(longest, rank.waited(name));
  }
  return longest / delay;
}

TEST(Overlap, OfADelayThatTheInteriorCoversNextToNothingShows) {
  if (std::thread::hardware_concurrency() < 2) {
    GTEST_SKIP() << "two ranks on a single processor wait for each other, not for messages";
  }
  // Long enough that it does not matter when a busy machine lets one of the ranks go on.
  const AttentionTensors t({1, 12000, 12000, 4, 4, 32});
  double best = 1e9;
  for (int attempt = 0; attempt < 20 && best > 0.2; ++attempt) best = std::min(best, exposed(t));
  EXPECT_LE(best, 0.2) << "of the delay";
}

}  // namespace
}  // namespace mixspan
