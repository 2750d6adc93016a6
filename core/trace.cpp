#include "core/trace.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"

namespace mixspan {

namespace {
std::int64_t nanoseconds(Tracer::Clock::duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}
}  // namespace

Tracer::Tracer(int rank, std::size_t max_events)
    : rank_(rank), start_(Clock::now()), events_(max_events) {}

void Tracer::add(std::string_view name, Clock::time_point begin, Clock::time_point end) {
  static_assert(sizeof(Event) == 64, "as the header says");
  const std::size_t slot = next_.fetch_add(1, std::memory_order_relaxed);
  if (slot >= events_.size()) return;
  Event& event = events_[slot];
  event.name_size = static_cast<std::uint16_t>(std::min(name.size(), kNameBytes));
  std::memcpy(event.name.data(), name.data(), event.name_size);
  event.begin_ns = nanoseconds(begin - start_);
  event.duration_ns = nanoseconds(end - begin);
  event.thread = ::gettid();
  event.complete.store(true, std::memory_order_release);
}

std::size_t Tracer::events() const { return std::min(next_.load(), events_.size()); }
std::size_t Tracer::dropped() const { return next_.load() - events(); }

std::string Tracer::json() const {
  // The Trace Event Format: times in microseconds, a complete event (ph X) for each range.
  std::string out = fmt::format(
      "{{\"displayTimeUnit\": \"ms\", \"otherData\": {{\"dropped_events\": {}}}, "
      "\"traceEvents\": [\n{{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": {}, \"args\": "
      "{{\"name\": \"rank {}\"}}}}",
      dropped(), rank_, rank_);
  const std::size_t count = events();
  for (std::size_t i = 0; i < count; ++i) {
    const Event& e = events_[i];
    if (!e.complete.load(std::memory_order_acquire)) continue;  // being written by its thread
    const std::string name = nlohmann::json(std::string(e.text()))
                                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    out += fmt::format(
        ",\n{{\"name\": {}, \"ph\": \"X\", \"pid\": {}, \"tid\": {}, \"ts\": {:.3f}, \"dur\": "
        "{:.3f}}}",
        name, rank_, e.thread, static_cast<double>(e.begin_ns) * 1e-3,
        static_cast<double>(e.duration_ns) * 1e-3);
  }
  return out + "\n]}\n";
}

std::vector<Tracer::Total> Tracer::totals(std::string_view within, std::size_t skip) const {
  struct Stretch {
    std::int64_t begin, end;
  };
  const std::size_t count = events();
  std::vector<Stretch> outer;
  for (std::size_t i = 0; i < count; ++i) {
    const Event& e = events_[i];
    if (e.complete.load(std::memory_order_acquire) && e.text() == within) {
      outer.push_back({e.begin_ns, e.begin_ns + e.duration_ns});
    }
  }
  const auto earlier = [](const Stretch& a, const Stretch& b) { return a.begin < b.begin; };
  std::sort(outer.begin(), outer.end(), earlier);
  outer.erase(outer.begin(),
              outer.begin() + static_cast<std::ptrdiff_t>(std::min(skip, outer.size())));

  std::map<std::string, Total, std::less<>> sums;
  for (std::size_t i = 0; i < count; ++i) {
    const Event& e = events_[i];
    if (!e.complete.load(std::memory_order_acquire)) continue;
    const Stretch range{e.begin_ns, e.begin_ns + e.duration_ns};
    const auto after = std::upper_bound(outer.begin(), outer.end(), range, earlier);
    if (after == outer.begin() || range.end > std::prev(after)->end) continue;
    Total& total = sums[std::string(e.text())];
    ++total.count;
    total.seconds += static_cast<double>(e.duration_ns) * 1e-9;
  }
  std::vector<Total> all;
  for (auto& [name, total] : sums) all.push_back({name, total.count, total.seconds});
  std::sort(all.begin(), all.end(), [&](const Total& a, const Total& b) {
    if ((a.name == within) != (b.name == within)) return a.name == within;
    return a.seconds > b.seconds;
  });
  return all;
}

void Tracer::write(const std::filesystem::path& path) const { replace_file(path, json()); }

}  // namespace mixspan
