#include "tests/emulation/blocks_at_once.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "core/error.h"
#include "tests/emulation/emulation.h"
#include "tests/emulation/sm90.h"

namespace mixspan::emulation {

namespace {

// Who runs, of several OS threads.
class Turns {
 public:
  Turns(int n, std::uint64_t seed)
      : there_(static_cast<std::size_t>(n), true), idle_(there_.size(), false), random_(seed) {}

  void begin(int me) {
    std::unique_lock lock(mutex_);
    wait(lock, me);
  }
  bool pass(int me, bool happened) {
    std::unique_lock lock(mutex_);
    if (happened) std::fill(idle_.begin(), idle_.end(), false);
    idle_[static_cast<std::size_t>(me)] = !happened;
    bool any = false;
    for (std::size_t i = 0; i < there_.size(); ++i) any |= there_[i] && !idle_[i];
    if (!any) return false;
    give(next(me));
    wait(lock, me);
    return true;
  }
  void end(int me, std::exception_ptr thrown) {
    const std::lock_guard lock(mutex_);
    there_[static_cast<std::size_t>(me)] = false;
    if (thrown && !thrown_) thrown_ = thrown;
    std::fill(idle_.begin(), idle_.end(), false);  // an end is something that happened
    if (std::find(there_.begin(), there_.end(), true) != there_.end()) give(next(me));
  }
  std::exception_ptr thrown() const { return thrown_; }

 private:
  void give(int to) {
    turn_ = to;
    changed_.notify_all();
  }
  int next(int me) {
    const int n = static_cast<int>(there_.size());
    if (settings().blocks == Order::shuffled) me = static_cast<int>(random_() % there_.size());
    const int step = settings().blocks == Order::backward ? n - 1 : 1;
    do me = (me + step) % n;
    while (!there_[static_cast<std::size_t>(me)]);
    return me;
  }
  void wait(std::unique_lock<std::mutex>& lock, int me) {
    changed_.wait(lock, [&] { return turn_ == me; });
    check(!thrown_, "another block of the launch has failed");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int turn_ = 0;
  std::vector<bool> there_, idle_;
  std::exception_ptr thrown_;
  std::mt19937_64 random_;
};

struct Place {
  Turns* turns;
  int me;
};
thread_local std::optional<Place> my_place;

}  // namespace

bool let_other_blocks_run(bool happened) {
  return my_place && my_place->turns->pass(my_place->me, happened);
}

void run_by_turns(int n, std::uint64_t seed, const std::function<void(int)>& work) {
  Turns turns(n, seed);
  std::vector<int> unfinished(static_cast<std::size_t>(n));
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      std::exception_ptr thrown;
      my_place = Place{&turns, i};
      try {
        turns.begin(i);
        work(i);
        unfinished[static_cast<std::size_t>(i)] = unfinished_blocks();
      } catch (...) {
        thrown = std::current_exception();
      }
      turns.end(i, thrown);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int blocks : unfinished) note_unfinished_blocks(blocks);
  if (turns.thrown()) std::rethrow_exception(turns.thrown());
}

}  // namespace mixspan::emulation
