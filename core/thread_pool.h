// A fixed set of threads that share the items of one loop at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace mixspan {

/// `for_each(n, body)` calls body(item, worker) once for each item in [0, n), each on some worker
/// in [0, size()). Which worker gets which item is not determined: a body that is to give the same
/// bits for any number of threads writes only what its item owns and sums in an order fixed by the
/// item. The calling thread is worker 0. Loops do not nest. The first exception thrown by a body is
/// rethrown to the caller after all workers have stopped. Bodies may store past the caches.
class ThreadPool {
 public:
  /// threads >= 1; 0 means one for each processor this process may run on.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  template <class Body>
  void for_each(std::int64_t items, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(items, const_cast<void*>(static_cast<const void*>(std::addressof(body))),
        [](void* b, std::int64_t item, int worker) { (*static_cast<Plain*>(b))(item, worker); });
  }

 private:
  using Call = void (*)(void*, std::int64_t, int);
  void run(std::int64_t items, void* body, Call call);
  void work(int worker);
  void worker_loop(int worker);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> running_{0};
  bool stop_ = false;

  std::atomic<std::int64_t> next_{0};
  std::int64_t items_ = 0;
  void* body_ = nullptr;
  Call call_ = nullptr;
  std::exception_ptr error_;
};

/// Processors this process may run on (its affinity mask), at least 1.
int available_processors();

}  // namespace mixspan
