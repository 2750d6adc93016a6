#include "tests/emulation/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <tuple>

#include "core/error.h"
#include "tests/emulation/blocks_at_once.h"

namespace mixspan::emulation {

namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr int kMaxThreads = 1024;

std::string place(const std::source_location& where) {
  return fmt::format("{}:{}", where.file_name(), where.line());
}
bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}

int width_of(Group::Kind kind, int block_threads) {
  if (kind == Group::Kind::warp) return 32;
  return kind == Group::Kind::warpgroup ? 128 : block_threads;
}

}  // namespace

void BlockRunner::entry(void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  BlockRunner& self = *thread.runner;
  try {
    (*self.body_)();
    self.end_of_thread();
  } catch (...) {
    if (!self.thrown_) self.thrown_ = std::current_exception();
  }
  thread.state = State::done;
  switch_fiber(thread.context, self.scheduler_, true);
}

void BlockRunner::begin(dim3 threads) {
  shape_ = threads;
  count_ = static_cast<int>(threads.x * threads.y * threads.z);
  check(count_ >= 1 && count_ <= kMaxThreads, "a block of {} threads cannot be run", count_);
  while (stacks_.size() < static_cast<std::size_t>(count_)) stacks_.emplace_back(kStackBytes);
  if (all_.size() < static_cast<std::size_t>(count_)) all_.resize(static_cast<std::size_t>(count_));
  ready_ = polling_ = to_poll_ = {};
  for (Meeting& m : meetings_) m.open = false;
  barriers_ = {};
  thrown_ = nullptr;
  done_ = stale_polls_ = 0;
  happened_ = true;
  current_ = -1;
  for (int t = 0; t < count_; ++t) {
    Thread& thread = all_[static_cast<std::size_t>(t)];
    prepare(thread.context, stacks_[static_cast<std::size_t>(t)], &entry, &thread);
    thread.state = State::ready;
    thread.runner = this;
    ready_.insert(t);
  }
}

void BlockRunner::run(dim3 threads, std::uint64_t seed, const std::function<void()>& body) {
  check(current_ < 0, "a kernel cannot launch a kernel");
  begin(threads);
  scheduler_ = context_of_thread();
  body_ = &body;
  order_ = settings().threads;
  random_.seed(seed);
  try {
    run_until_done();
  } catch (...) {
    for (int t = 0; t < count_; ++t) stacks_[static_cast<std::size_t>(t)].forget_frames();
    current_ = -1;
    throw;
  }
  current_ = -1;
}

int BlockRunner::pick(const ThreadSet& set) {
  if (order_ == Order::forward) return set.first();
  if (order_ == Order::backward) return set.last();
  return set.nth(static_cast<int>(random_() % static_cast<std::uint64_t>(set.size())));
}

void BlockRunner::run_until_done() {
  while (done_ < count_) {
    // Where others may see what happens here, they shall do so at any moment.
    if (order_ == Order::shuffled && random_() % 256 == 0) let_other_blocks_run(true);
    if (!ready_.empty()) {
      stale_polls_ = 0;
      happened_ = true;
      const int t = pick(ready_);
      ready_.erase(t);
      resume(t);
    } else {
      // Nobody can go on for sure: ask those who watch for something, each once a round. Two rounds
      // in which nobody saw it have asked everybody since anything happened; unless another block
      // does it.
      if (polling_.empty()) deadlock();
      if (stale_polls_ >= 2 * polling_.size()) {
        if (!let_other_blocks_run(happened_)) deadlock();
        happened_ = false;
        stale_polls_ = 0;
      }
      if (to_poll_.empty()) to_poll_ = polling_;
      const int t = pick(to_poll_);
      to_poll_.erase(t);
      polling_.erase(t);
      resume(t);
      const Thread& thread = all_[static_cast<std::size_t>(t)];
      const bool stale = thread.state == State::polling && thread.polled_again;
      stale_polls_ = stale ? stale_polls_ + 1 : 0;
      happened_ |= !stale;
    }
    if (thrown_) std::rethrow_exception(thrown_);
  }
}

void BlockRunner::resume(int t) {
  current_ = t;
  const auto u = static_cast<unsigned>(t);
  threadIdx = {u % shape_.x, u / shape_.x % shape_.y, u / (shape_.x * shape_.y)};
  Thread& thread = all_[static_cast<std::size_t>(t)];
  thread.state = State::ready;
  switch_fiber(scheduler_, thread.context);
  if (thread.state == State::ready) ready_.insert(t);
  if (thread.state == State::polling) polling_.insert(t);
}

void BlockRunner::leave(State state, const char* why, std::source_location where) {
  Thread& thread = all_[static_cast<std::size_t>(current_)];
  thread.state = state;
  thread.waits_in = why;
  thread.where = where;
  switch_fiber(thread.context, scheduler_);
}

void BlockRunner::wake(const std::vector<int>& threads) {
  for (const int t : threads) {
    all_[static_cast<std::size_t>(t)].state = State::ready;
    ready_.insert(t);
  }
}

Meeting& BlockRunner::meeting_for(Group group, int index, const char* operation,
                                  std::source_location where) {
  Meeting* unused = nullptr;
  for (Meeting& m : meetings_) {
    if (!m.open) {
      unused = &m;
      continue;
    }
    if (m.group.kind != group.kind || m.index != index || m.group.mask != group.mask) continue;
    check(std::strcmp(m.operation, operation) == 0,
          "thread {} comes to {} at {}, while thread {} of the same group waits in {} at {}",
          current_, operation, place(where), m.waiting[0], m.operation, place(m.where));
    // A barrier of the block in two branches is two barriers, which not all threads come to.
    check(group.kind != Group::Kind::block || same_place(m.where, where),
          "thread {} comes to {} at {}, while thread {} waits in another at {}", current_,
          operation, place(where), m.waiting[0], place(m.where));
    return m;
  }
  Meeting& m = unused != nullptr ? *unused : meetings_.emplace_back();
  m.group = group;
  m.index = index;
  m.operation = operation;
  m.where = where;
  m.waiting.clear();
  m.deposits.assign(static_cast<std::size_t>(width_of(group.kind, count_)), nullptr);
  m.open = true;
  return m;
}

int BlockRunner::missing_from(const Meeting& m) const {
  const int width = width_of(m.group.kind, count_);
  const int begin = m.index * width;
  for (int lane = 0; lane < width && begin + lane < count_; ++lane) {
    if (m.group.kind == Group::Kind::warp && (m.group.mask >> lane & 1u) == 0) continue;
    // Threads that have ended are not waited for, as on the hardware.
    if (all_[static_cast<std::size_t>(begin + lane)].state == State::done) continue;
    if (m.deposits[static_cast<std::size_t>(lane)] == nullptr) return begin + lane;
  }
  return -1;
}

bool BlockRunner::complete_if_all_came(Meeting& m) {
  // Mostly it is enough to count.
  const int width = width_of(m.group.kind, count_);
  const int there = std::min(width, count_ - m.index * width);
  const unsigned mask = there < 32 ? m.group.mask & ((1u << there) - 1) : m.group.mask;
  const int wanted = m.group.kind == Group::Kind::warp ? std::popcount(mask) : there;
  if (static_cast<int>(m.waiting.size()) + done_ < wanted) return false;
  if (missing_from(m) >= 0) return false;
  if (m.compute != nullptr) m.compute(m.context, m.deposits);
  m.open = false;
  wake(m.waiting);
  return true;
}

void BlockRunner::meet(Group group, const char* operation, void* deposit, Compute compute,
                       void* context, std::source_location where) {
  const int width = width_of(group.kind, count_);
  const int index = current_ / width, lane = current_ % width;
  check(group.kind != Group::Kind::warp || (group.mask >> lane & 1u) != 0,
        "{} at {}: lane {} calls it with the mask {:#x}, which leaves that lane out", operation,
        place(where), lane, group.mask);
  check(group.kind != Group::Kind::warpgroup || (index + 1) * width <= count_,
        "{} at {}: thread {} of a block of {} is of no whole warpgroup", operation, place(where),
        current_, count_);
  Meeting& m = meeting_for(group, index, operation, where);
  m.compute = compute;
  m.context = context;
  m.deposits[static_cast<std::size_t>(lane)] = deposit;
  m.waiting.push_back(current_);
  // The last to come goes on when its turn is, like all others.
  leave(complete_if_all_came(m) ? State::ready : State::waiting, operation, where);
}

void BlockRunner::barrier(int id, int threads, bool wait, std::source_location where) {
  const char* name = wait ? "bar.sync" : "bar.arrive";
  check(id >= 1 && id < static_cast<int>(barriers_.size()),
        "{} at {}: barrier {} (1 to 15; 0 is that of __syncthreads)", name, place(where), id);
  check(threads > 0 && threads % 32 == 0, "{} {} at {}: {} threads are no whole warps", name, id,
        place(where), threads);
  NamedBarrier& b = barriers_[static_cast<std::size_t>(id)];
  if (b.expected == 0) b.expected = threads;
  check(b.expected == threads, "{} {} at {}: for {} threads, while others wait there for {}", name,
        id, place(where), threads, b.expected);
  check(std::find(b.arrived.begin(), b.arrived.end(), current_) == b.arrived.end(),
        "{} {} at {}: thread {} comes twice in one phase ({} of {} have come)", name, id,
        place(where), current_, b.arrived.size(), b.expected);
  b.arrived.push_back(current_);
  const bool full = static_cast<int>(b.arrived.size()) == b.expected;
  if (full) {
    const std::vector<int> waiting = std::move(b.waiting);
    b = {};
    wake(waiting);
  } else if (wait) {
    b.waiting.push_back(current_);
  }
  if (wait) leave(full ? State::ready : State::waiting, name, where);
}

void BlockRunner::let_others_run(const char* why, bool again, std::source_location where) {
  all_[static_cast<std::size_t>(current_)].polled_again = again;
  leave(State::polling, why, where);
}

// Others may have waited for this thread alone.
void BlockRunner::end_of_thread() {
  all_[static_cast<std::size_t>(current_)].state = State::done;
  ++done_;
  for (Meeting& m : meetings_) {
    if (m.open) complete_if_all_came(m);
  }
}

std::string BlockRunner::who_waits() const {
  std::map<std::tuple<std::string, std::string>, std::vector<int>> places;
  for (int t = 0; t < count_; ++t) {
    const Thread& thread = all_[static_cast<std::size_t>(t)];
    if (thread.state == State::done) continue;
    places[{thread.waits_in, place(thread.where)}].push_back(t);
  }
  std::string text;
  for (const auto& [key, threads] : places) {
    const bool one = threads.size() == 1;
    text += fmt::format("\n  {} thread{} ({}{}) wait{} in {} at {}", threads.size(), one ? "" : "s",
                        threads.front(), one ? "" : fmt::format(" to {}", threads.back()),
                        one ? "s" : "", std::get<0>(key), std::get<1>(key));
  }
  return text + fmt::format("\n  {} of {} threads have ended", done_, count_);
}

void BlockRunner::deadlock() { fail("no thread of the block can go on:{}", who_waits()); }

}  // namespace mixspan::emulation
