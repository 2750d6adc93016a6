#include "core/trace.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/profiler_ranges.h"

namespace mixspan {

namespace {
std::int64_t nanoseconds(Tracer::Clock::duration d) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}
}  // namespace

Tracer::Tracer(int rank, std::size_t max_events)
    : rank_(rank), start_(Clock::now()), events_(max_events) {}

void Tracer::follow(Device device, Stream stream) {
  stream_ = std::make_unique<StreamClock>(device, stream);
}

// What is read lies between the marks, so a clock of the device that runs ahead of the host's by
// some rounding must not move a range out of the one that the host times.
void Tracer::collect() {
  if (stream_ == nullptr) return;
  const std::vector<Clock::time_point> moments = stream_->read();
  const Clock::time_point now = Clock::now();
  for (const OnStream& range : on_stream_) {
    put(range.name, std::min(moments[range.begin], now), std::min(moments[range.end], now), kStream,
        true);
  }
  on_stream_.clear();
}

void TraceRange::open(TimedBy by) {
  if (!tracer_->on_) {
    tracer_ = nullptr;
    return;
  }
  shown_ = tracer_->stream_ != nullptr;
  if (shown_) begin_profiler_range(name_);
  on_stream_ = shown_ && by == TimedBy::worker;
  if (on_stream_) {
    mark_ = tracer_->stream_->mark();
  } else {
    begin_ = Tracer::Clock::now();
  }
}

void TraceRange::close() {
  if (on_stream_) {
    tracer_->on_stream_.push_back({std::string(name_), mark_, tracer_->stream_->mark()});
  } else {
    tracer_->put(name_, begin_, Tracer::Clock::now(), ::gettid(), true);
  }
  if (shown_) end_profiler_range();
}

void Tracer::put(std::string_view name, Clock::time_point begin, Clock::time_point end,
                 std::int32_t thread, bool nested) {
  static_assert(sizeof(Event) == 64, "as the header says");
  const std::size_t slot = next_.fetch_add(1, std::memory_order_relaxed);
  if (slot >= events_.size()) return;
  Event& event = events_[slot];
  event.name_size = static_cast<std::uint8_t>(std::min(name.size(), kNameBytes));
  std::memcpy(event.name.data(), name.data(), event.name_size);
  event.begin_ns = nanoseconds(begin - start_);
  event.duration_ns = nanoseconds(end - begin);
  event.thread = thread;
  event.nested = nested;
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

std::vector<const Tracer::Event*> Tracer::inside(std::string_view within, std::size_t skip) const {
  const std::size_t count = events();
  const auto is_there = [](const Event& e) { return e.complete.load(std::memory_order_acquire); };
  std::vector<const Event*> outer, found;
  for (std::size_t i = 0; i < count; ++i) {
    const Event& e = events_[i];
    if (is_there(e) && e.text() == within) outer.push_back(&e);
  }
  const auto earlier = [](const Event* a, const Event* b) { return a->begin_ns < b->begin_ns; };
  std::sort(outer.begin(), outer.end(), earlier);
  outer.erase(outer.begin(),
              outer.begin() + static_cast<std::ptrdiff_t>(std::min(skip, outer.size())));
  for (std::size_t i = 0; i < count; ++i) {
    const Event& e = events_[i];
    if (!is_there(e)) continue;
    const auto after = std::upper_bound(outer.begin(), outer.end(), &e, earlier);
    if (after != outer.begin() && e.end_ns() <= (*std::prev(after))->end_ns()) found.push_back(&e);
  }
  return found;
}

std::vector<Tracer::Total> Tracer::totals(std::string_view within, std::size_t skip) const {
  std::map<std::string, Total, std::less<>> sums;
  for (const Event* e : inside(within, skip)) {
    Total& total = sums[std::string(e->text())];
    ++total.count;
    total.seconds += static_cast<double>(e->duration_ns) * 1e-9;
  }
  std::vector<Total> all;
  for (auto& [name, total] : sums) all.push_back({name, total.count, total.seconds});
  std::sort(all.begin(), all.end(), [&](const Total& a, const Total& b) {
    if ((a.name == within) != (b.name == within)) return a.name == within;
    return a.seconds > b.seconds;
  });
  return all;
}

void Tracer::visit(std::string_view within, std::size_t skip, const Visit& visit) const {
  std::vector<const Event*> ranges = inside(within, skip);
  std::erase_if(ranges, [](const Event* e) { return !e->nested; });
  // An outer range before those inside it. Of two with the same ends the inner one was put first.
  std::sort(ranges.begin(), ranges.end(), [](const Event* a, const Event* b) {
    return std::tuple(a->thread, a->begin_ns, -a->end_ns(), b) <
           std::tuple(b->thread, b->begin_ns, -b->end_ns(), a);
  });
  struct Open {
    const Event* range;
    std::int64_t own_ns;
  };
  std::vector<Open> open;
  std::vector<std::string_view> path;
  const auto close = [&] {
    visit(path, static_cast<double>(open.back().own_ns) * 1e-9);
    open.pop_back();
    path.pop_back();
  };
  for (const Event* e : ranges) {
    while (!open.empty() &&
           (open.back().range->thread != e->thread || open.back().range->end_ns() < e->end_ns())) {
      close();
    }
    if (!open.empty()) open.back().own_ns -= e->duration_ns;
    open.push_back({e, e->duration_ns});
    path.push_back(e->text());
  }
  while (!open.empty()) close();
}

void Tracer::write(const std::filesystem::path& path) const { replace_file(path, json()); }

}  // namespace mixspan
