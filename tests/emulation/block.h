// One block of an emulated kernel: its threads as fibers, what they wait for, who runs next.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/emulation/emulation.h"
#include "tests/emulation/fiber.h"
#include "tests/emulation/vector_types.h"

namespace mixspan::emulation {

/// Threads of a group that came to one operation so far.
struct Meeting {
  Group group;
  int index = 0;  // which warp or warpgroup
  const char* operation = "";
  std::source_location where;
  Compute compute = nullptr;
  void* context = nullptr;
  std::vector<int> waiting;
  std::vector<void*> deposits;  // by lane
  bool open = false;
};

struct NamedBarrier {
  int expected = 0;  // 0: no phase has begun
  std::vector<int> arrived, waiting;
};

/// A set of thread numbers.
class ThreadSet {
 public:
  void insert(int t) { words_[static_cast<std::size_t>(t / 64)] |= std::uint64_t{1} << (t % 64); }
  void erase(int t) { words_[static_cast<std::size_t>(t / 64)] &= ~(std::uint64_t{1} << (t % 64)); }
  bool empty() const;
  int first() const;
  int last() const;
  int nth(int n) const;
  int size() const;

 private:
  std::array<std::uint64_t, 16> words_{};
};

/// Runs blocks one after the other on the calling OS thread; keeps the stacks.
class BlockRunner {
 public:
  /// Calls body() once for each thread of the block and returns when all have ended. Throws what a
  /// thread threw, and an Error that says who waits where when none can go on.
  void run(dim3 threads, std::uint64_t seed, const std::function<void()>& body);

  int rank() const { return current_; }
  int threads() const { return count_; }

  // Called by the thread that is current.
  void meet(Group group, const char* operation, void* deposit, Compute compute, void* context,
            std::source_location where);
  void barrier(int id, int threads, bool wait, std::source_location where);
  void let_others_run(const char* why, bool again, std::source_location where);

 private:
  enum class State : std::uint8_t { ready, waiting, polling, done };
  struct Thread {
    FiberContext context;
    State state = State::done;
    bool polled_again = false;
    const char* waits_in = "";
    std::source_location where;
    BlockRunner* runner = nullptr;
  };

  static void entry(void* thread);
  void begin(dim3 threads);
  void run_until_done();
  void resume(int thread);
  int pick(const ThreadSet& set);
  void leave(State state, const char* why, std::source_location where);
  void wake(const std::vector<int>& threads);
  void end_of_thread();
  Meeting& meeting_for(Group group, int index, const char* operation, std::source_location where);
  int missing_from(const Meeting& m) const;
  bool complete_if_all_came(Meeting& m);
  [[noreturn]] void deadlock();
  std::string who_waits() const;

  std::deque<Thread> all_;  // a fiber keeps its place in memory
  std::vector<FiberStack> stacks_;
  FiberContext scheduler_;
  dim3 shape_;
  int count_ = 0, current_ = -1, done_ = 0, stale_polls_ = 0;
  bool happened_ = false;  // since other blocks could run
  ThreadSet ready_, polling_, to_poll_;
  std::deque<Meeting> meetings_;
  std::array<NamedBarrier, 16> barriers_;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr thrown_;
  std::mt19937_64 random_;
  Order order_ = Order::forward;
};

}  // namespace mixspan::emulation
