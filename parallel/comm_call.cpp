#include "parallel/comm_call.h"

#include <algorithm>

namespace mixspan {

namespace {

Envelope make_envelope(Operation operation, const Call& call, std::int64_t sequence) {
  Envelope envelope;
  envelope.operation = operation;
  envelope.sequence = sequence;
  envelope.layer = call.layer;
  call.what.copy(envelope.what.data(), envelope.what.size() - 1);
  return envelope;
}

bool same_call(const Envelope& a, const Envelope& b) {
  return a.operation == b.operation && a.sequence == b.sequence && a.layer == b.layer &&
         a.what == b.what;
}

double seconds_between(Transfer::Clock::time_point a, Transfer::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

std::string Group::name(int of) const {
  const int in_world = members[static_cast<std::size_t>(of)];
  return axis == "world" ? fmt::format("rank {}", of)
                         : fmt::format("rank {} of {} ({} in the world)", of, axis, in_world);
}

GroupCall::GroupCall(std::shared_ptr<Group> group, Operation operation, const Call& call,
                     DeviceQueue* queue)
    : group_(std::move(group)),
      queue_(queue),
      what_(call.what),
      begin_(Clock::now()),
      end_(begin_) {
  group_->endpoint->check_usable();
  if (queue_ != nullptr) queue_->follow_compute();
  envelope_ = make_envelope(operation, call, group_->calls++);
  group_->endpoint->add(this);
}

GroupCall::~GroupCall() {
  group_->endpoint->remove(this);
  for (DeviceBuffer& buffer : device_scratch_) queue_->give_back(std::move(buffer));
  if (!complete_) group_->endpoint->mark_dropped(envelope_.call());
}

void GroupCall::send(int to, ConstView data) {
  const std::int64_t bytes = static_cast<std::int64_t>(data.size_bytes());
  post(to, false, bytes, [&](Envelope& envelope, std::uint32_t channel) {
    envelope = envelope_;
    envelope.bytes = bytes;
    Endpoint& endpoint = *group_->endpoint;
    const int peer = group_->members[static_cast<std::size_t>(to)];
    const std::span memory(static_cast<const std::byte*>(data.raw()), data.size_bytes());
    if (queue_ != nullptr) {
      return endpoint.device()->send(*queue_, {to, peer}, channel, envelope, memory);
    }
    return endpoint.link().send(peer, channel, envelope, memory);
  });
  envelope_.bytes += bytes;
  count().bytes_sent += bytes;
}

void GroupCall::receive(int from, View data) {
  const std::int64_t bytes = static_cast<std::int64_t>(data.size_bytes());
  post(from, true, bytes, [&](Envelope& envelope, std::uint32_t channel) {
    Endpoint& endpoint = *group_->endpoint;
    const int peer = group_->members[static_cast<std::size_t>(from)];
    const std::span memory(static_cast<std::byte*>(data.raw()), data.size_bytes());
    if (queue_ != nullptr) {
      return endpoint.device()->receive(*queue_, {from, peer}, channel, envelope, memory);
    }
    return endpoint.link().receive(peer, channel, envelope, memory);
  });
}

void GroupCall::post(
    int peer, bool incoming, std::int64_t bytes,
    const std::function<std::unique_ptr<Transfer>(Envelope&, std::uint32_t)>& start) {
  Message& message = messages_.emplace_back(Message{nullptr, peer, incoming, bytes, {}});
  // Second steps have a channel of their own: when they are posted depends on when messages come,
  // so that between them and the first steps of later calls there is no order.
  // Nor is there one between messages of devices, which leave when a device is done, and others.
  const std::uint32_t channel =
      4 * group_->channel + (second_ ? 1 : 0) + (queue_ != nullptr ? 2 : 0);
  try {
    message.transfer = start(message.envelope, channel);
  } catch (const Error& error) {
    group_->endpoint->fail(
        fmt::format("{} in {}: {}", group_->name(group_->rank), envelope_.call(), error.what()));
  }
}

std::byte* GroupCall::scratch(std::size_t bytes) {
  if (queue_ != nullptr) {
    return static_cast<std::byte*>(
        device_scratch_.emplace_back(queue_->take_scratch(bytes)).data());
  }
  return scratch_.emplace_back(std::make_unique_for_overwrite<std::byte[]>(bytes)).get();
}

void GroupCall::sum(DType dtype, const PiecesOfRanks& pieces, std::int64_t n) const {
  if (queue_ != nullptr) return sum_in_order(queue_->device(), queue_->stream(), dtype, pieces, n);
  sum_in_order({}, {}, dtype, pieces, n);
}

void GroupCall::then(std::function<void()> finish) { then_ = std::move(finish); }

void GroupCall::then_send(std::function<void()> second_step) {
  then_ = std::move(second_step);
  turn_ = group_->two_step_calls++;
}

// Work whose order with that of other calls must be the same on all ranks, so that it is given when
// the call is made. That messages have arrived is then known of their envelopes alone.
void GroupCall::launch() {
  queue_->launch();
  if (then_) {
    second_ = turn_ >= 0;
    std::exchange(then_, nullptr)();
    if (second_) ++group_->second_steps;
    queue_->launch();
  }
  done_ = queue_->mark();
}

void GroupCall::posted() {
  if (queue_ != nullptr && queue_->nccl() != nullptr) launch();
  number_ = group_->endpoint->history().begin(group_->axis, envelope_, begin_);
  ++count().calls;
  group_->endpoint->advance_all();  // some links move messages only when asked
}

bool GroupCall::poll(Message& message) {
  if (message.transfer == nullptr) return true;
  std::optional<Clock::time_point> end;
  try {
    end = message.transfer->poll();
  } catch (const Error& error) {
    group_->endpoint->fail(fmt::format("{} in {} with {}: {}", group_->name(group_->rank),
                                       envelope_.call(), group_->name(message.peer), error.what()));
  }
  if (!end) return false;
  if (message.incoming) check_envelope(message);
  message.transfer = nullptr;
  end_ = std::max(end_, *end);
  return true;
}

void GroupCall::check_envelope(const Message& message) {
  const Envelope& theirs = message.envelope;
  group_->heard[static_cast<std::size_t>(message.peer)] = theirs;
  const std::string me = group_->name(group_->rank), peer = group_->name(message.peer);
  if (!same_call(theirs, envelope_)) {
    group_->endpoint->fail(fmt::format("ranks make different calls: {} makes {}, {} makes {}", me,
                                       envelope_.call(), peer, theirs.call()));
  }
  if (theirs.bytes != message.bytes) {
    group_->endpoint->fail(fmt::format("sizes differ in {}: {} expects {} bytes, {} sends {}",
                                       envelope_.call(), me, message.bytes, peer, theirs.bytes));
  }
}

bool GroupCall::messages_done() {
  bool done = true;
  for (Message& message : messages_) done = poll(message) && done;
  return done;
}

void GroupCall::advance() {
  if (complete_ || !messages_done()) return;
  if (then_) {
    const bool sends = turn_ >= 0;
    if (sends && turn_ != group_->second_steps) return;  // all ranks take them in one order
    second_ = sends;
    std::exchange(then_, nullptr)();
    if (sends) ++group_->second_steps;
    if (!messages_done()) return;
  }
  complete();
}

void GroupCall::complete() {
  complete_ = true;
  if (queue_ != nullptr && queue_->nccl() == nullptr) done_ = queue_->mark();
  group_->endpoint->history().finish(number_, envelope_.bytes, end_);
  if (group_->tracer != nullptr) group_->tracer->add_beside(traced_name(""), begin_, end_);
}

void GroupCall::wait() {
  Endpoint& endpoint = *group_->endpoint;
  Link& link = endpoint.link();
  const Clock::time_point begin = Clock::now();
  const double timeout = endpoint.timeout_seconds();
  const Clock::time_point deadline = timeout > 0
                                         ? begin + std::chrono::duration_cast<Clock::duration>(
                                                       std::chrono::duration<double>(timeout))
                                         : Clock::time_point::max();
  while (true) {
    endpoint.check_usable([&] {
      // Another rank may give up first because it waits for this one, which is not the culprit.
      const double waited = seconds_between(begin, Clock::now());
      if (complete_ || waited < std::max(timeout / 2, 1.0)) return std::string();
      return fmt::format("; {} itself had waited {:.3g} s in {}", group_->name(group_->rank),
                         waited, awaited());
    });
    const std::uint64_t seen = link.news();
    endpoint.advance_all();
    if (complete_) break;
    if (Clock::now() >= deadline) fail_missing();
    endpoint.wait_for_news(seen, deadline);
  }
  const Clock::time_point end = Clock::now();
  count().wait_seconds += seconds_between(begin, end);
  Tracer* const tracer = group_->tracer;
  const std::string name = tracer == nullptr ? "" : traced_name("wait ");
  if (queue_ == nullptr) {
    if (tracer != nullptr) tracer->add(name, begin, end);
    return;
  }
  // The device stands still while its stream waits, whatever the host waits for meanwhile.
  if (tracer != nullptr) tracer->add_beside(name, begin, end);
  const TraceRange range(tracer, name);
  queue_->let_compute_follow(done_);
}

void GroupCall::fail_missing() {
  Endpoint& endpoint = *group_->endpoint;
  endpoint.fail(fmt::format("{} waited more than {:g} s in {}", group_->name(group_->rank),
                            endpoint.timeout_seconds(), awaited()));
}

std::string GroupCall::awaited() const {
  std::string missing;
  std::vector<bool> named(group_->members.size());
  for (const Message& message : messages_) {
    const std::size_t peer = static_cast<std::size_t>(message.peer);
    if (message.transfer == nullptr || named[peer]) continue;
    named[peer] = true;
    const std::optional<Envelope>& heard = group_->heard[peer];
    missing += fmt::format(
        "{}{} ({}; {})", missing.empty() ? "" : ", ", group_->name(message.peer),
        message.incoming ? "sends nothing" : "does not take what it is sent",
        heard ? "last heard of in " + heard->call() : std::string("never heard of on this axis"));
  }
  return fmt::format("{} for {}", envelope_.call(), missing.empty() ? "an earlier call" : missing);
}

std::string GroupCall::traced_name(std::string_view prefix) const {
  return envelope_.layer < 0
             ? fmt::format("{}{} {}", prefix, group_->axis, what_)
             : fmt::format("{}{} {} layer {}", prefix, group_->axis, what_, envelope_.layer);
}

Group::Count& GroupCall::count() {
  return group_->counts[{envelope_.operation, what_, envelope_.layer}];
}

}  // namespace mixspan
