// Where the time goes: named ranges on each thread, as a Chrome trace (chrome://tracing, Perfetto).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mixspan {

/// Collects ranges from any number of threads in memory that is fixed when it is made. Once full
/// it counts what it drops and keeps what it has: the beginning of a run.
class Tracer {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kNameBytes = 40;  ///< longer names are cut

  /// `rank` is shown as the process. An event takes 64 bytes.
  explicit Tracer(int rank = 0, std::size_t max_events = 200'000);

  /// Thread-safe and lock-free.
  void add(std::string_view name, Clock::time_point begin, Clock::time_point end);
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

  std::size_t events() const;   ///< kept
  std::size_t dropped() const;  ///< had no room

 private:
  struct Event {
    std::array<char, kNameBytes> name;
    std::int64_t begin_ns, duration_ns;
    std::int32_t thread;
    std::uint16_t name_size;
    std::atomic<bool> complete;
    std::string_view text() const { return {name.data(), name_size}; }
  };

  int rank_;
  Clock::time_point start_;
  std::vector<Event> events_;
  std::atomic<std::size_t> next_{0};
};

/// Traces its own lifetime. With a null tracer it does not even read the clock. `name` must stay
/// valid as long as the range.
class TraceRange {
 public:
  TraceRange(Tracer* tracer, std::string_view name) : tracer_(tracer), name_(name) {
    if (tracer_ != nullptr) begin_ = Tracer::Clock::now();
  }
  ~TraceRange() {
    if (tracer_ != nullptr) tracer_->add(name_, begin_, Tracer::Clock::now());
  }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  Tracer* tracer_;
  std::string_view name_;
  Tracer::Clock::time_point begin_{};
};

}  // namespace mixspan
