// Where the time goes: named ranges on each thread and on a device's stream, as sums and as a
// Chrome trace (chrome://tracing, Perfetto).
#pragma once

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/stream_clock.h"

namespace mixspan {

/// Whose time a range is: of whatever works (the stream, where the tracer follows one), or of the
/// thread that opens it, wherever the work is done.
enum class TimedBy { worker, host };

/// Collects ranges from any number of threads in memory that is fixed when it is made. Once full
/// it counts what it drops and keeps what it has: the beginning of a run.
class Tracer {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kNameBytes = 40;  ///< longer names are cut

  /// `rank` is shown as the process. An event takes 64 bytes.
  explicit Tracer(int rank = 0, std::size_t max_events = 200'000);

  /// From here on ranges of TimedBy::worker are those of the stream, whose work one thread gives
  /// it, and profilers are shown them too. They are there after collect().
  void follow(Device device, Stream stream);
  /// Waits until the stream has done what it was given. Nothing to do without a stream.
  void collect();
  /// Off: ranges that are opened from here on leave no trace.
  void record(bool on) { on_ = on; }

  /// Thread-safe and lock-free. A range of one thread lies inside another one or beside it.
  void add(std::string_view name, Clock::time_point begin, Clock::time_point end) {
    if (on_) put(name, begin, end, ::gettid(), true);
  }
  /// The same for what goes on beside the thread's ranges, such as a transfer.
  void add_beside(std::string_view name, Clock::time_point begin, Clock::time_point end) {
    if (on_) put(name, begin, end, ::gettid(), false);
  }
  /// Writes what has been collected so far; the file is replaced in one step.
  void write(const std::filesystem::path& path) const;
  std::string json() const;

  struct Total {
    std::string name;
    std::int64_t count = 0;
    double seconds = 0;
  };
  /// Sums by name of the ranges that lie inside ranges called `within`, which comes first, the
  /// others by falling time. Of the ranges called `within` the first `skip` are left out, and with
  /// them all that is in them. Empty where none is left.
  std::vector<Total> totals(std::string_view within, std::size_t skip = 0) const;
  /// For each of those that lie inside another one or beside it, `within` included: the names from
  /// the outermost of its thread to its own, and its seconds without those of ranges inside it.
  using Visit = std::function<void(std::span<const std::string_view> path, double seconds)>;
  void visit(std::string_view within, std::size_t skip, const Visit& visit) const;

  std::size_t events() const;   ///< kept
  std::size_t dropped() const;  ///< had no room

 private:
  friend class TraceRange;
  struct Event {
    std::array<char, kNameBytes> name;
    std::int64_t begin_ns, duration_ns;
    std::int32_t thread;  // kStream: of the stream
    std::uint8_t name_size;
    bool nested;
    std::atomic<bool> complete;
    std::string_view text() const { return {name.data(), name_size}; }
    std::int64_t end_ns() const { return begin_ns + duration_ns; }
  };
  struct OnStream {  // a range whose moments are not known yet
    std::string name;
    std::size_t begin, end;
  };
  static constexpr std::int32_t kStream = 0;

  void put(std::string_view name, Clock::time_point begin, Clock::time_point end,
           std::int32_t thread, bool nested);
  std::vector<const Event*> inside(std::string_view within, std::size_t skip) const;

  int rank_;
  Clock::time_point start_;
  std::vector<Event> events_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> on_{true};
  std::unique_ptr<StreamClock> stream_;
  std::vector<OnStream> on_stream_;
};

/// Traces its own lifetime. With a null tracer it does not even read the clock. `name` must stay
/// valid as long as the range.
class TraceRange {
 public:
  TraceRange(Tracer* tracer, std::string_view name, TimedBy by = TimedBy::worker)
      : tracer_(tracer), name_(name) {
    if (tracer_ != nullptr) open(by);
  }
  ~TraceRange() {
    if (tracer_ != nullptr) close();
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  void open(TimedBy by);
  void close();

  Tracer* tracer_;
  std::string_view name_;
  Tracer::Clock::time_point begin_{};
  std::size_t mark_ = 0;
  bool on_stream_ = false, shown_ = false;
};

}  // namespace mixspan
