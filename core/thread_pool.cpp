#include "core/thread_pool.h"

#include <sched.h>

#include "core/error.h"
#include "core/stop_signals.h"

namespace mixspan {

namespace {
// Loops of a step follow each other within microseconds, so a worker looks for the next one for a
// short while before it sleeps; long enough to catch it, short enough not to steal from other
// ranks.
constexpr int kSpins = 2000;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// What was stored past the caches is in memory before anything that is stored later: no mutex or
// atomic promises that.
void end_streams() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}
}  // namespace

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

ThreadPool::ThreadPool(int threads) {
  check(threads >= 0, "a thread pool of {} threads was asked for; wanted 0 (all) or more", threads);
  const int size = threads == 0 ? available_processors() : threads;
  for (int w = 1; w < size; ++w) workers_.emplace_back([this, w] { worker_loop(w); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  start_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::run(std::int64_t items, void* body, Call call) {
  if (items <= 0) return;
  if (workers_.empty() || items == 1) {
    for (std::int64_t i = 0; i < items; ++i) call(body, i, 0);
    end_streams();
    return;
  }
  {
    std::lock_guard lock(mutex_);
    items_ = items;
    body_ = body;
    call_ = call;
    error_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  start_.notify_all();
  work(0);
  for (int spin = 0; spin < kSpins && running_.load(std::memory_order_acquire) > 0; ++spin) {
    pause_cpu();
  }
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return running_.load(std::memory_order_acquire) == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work(int worker) {
  try {
    for (;;) {
      const std::int64_t item = next_.fetch_add(1, std::memory_order_relaxed);
      if (item >= items_) break;
      call_(body_, item, worker);
    }
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    next_.store(items_, std::memory_order_relaxed);  // no new items after a failure
  }
  end_streams();
}

void ThreadPool::worker_loop(int worker) {
  leave_stop_signals_to_others();
  std::uint64_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen;
         ++spin) {
      pause_cpu();
    }
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
    }
    work(worker);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard lock(mutex_);
      done_.notify_one();
    }
  }
}

}  // namespace mixspan
