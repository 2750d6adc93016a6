#include "parallel/comm_mpi.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/comm_group.h"

namespace mixspan {

namespace {

using Clock = Transfer::Clock;
using Requests = std::vector<MPI_Request>;

/// Tells another rank that the world has failed. Small enough that MPI sends it at once.
struct Farewell {
  int exit_status = 1;
  std::array<char, 1020> reason{};  // cut, ends in zero
};

void check_mpi(int code, std::string_view what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  fail("{}: {}", what, text.data());
}

struct MpiHeader {
  Envelope envelope;
  std::int32_t data_tag = 0;  ///< where the data of this message is, and of no other under way
};

Clock::duration seconds(double s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
}

/// True when all are at their end; those become null.
bool test_all(std::span<MPI_Request> requests) {
  bool done = true;
  for (MPI_Request& request : requests) {
    int flag = 0;
    check_mpi(MPI_Test(&request, &flag, MPI_STATUS_IGNORE), "MPI_Test");
    done = done && flag != 0;
  }
  return done;
}

}  // namespace

/// What the world and its messages share.
struct MpiWorld::State {
  /// A message that could not be taken back: what it reads or writes may be gone, so MPI, which
  /// moves messages inside any call, is called no more.
  struct Abandoned {
    Requests requests;
    std::unique_ptr<MpiHeader> header;
  };

  MpiOptions options;
  MPI_Comm headers = MPI_COMM_NULL, data = MPI_COMM_NULL, control = MPI_COMM_NULL;
  int rank = 0, size = 1, local_rank = 0, local_size = 1, processors = 1;
  int largest_tag = 0;
  std::vector<std::int32_t> data_tags;  // the last to each rank
  int exceptions_before = 0;
  bool given_out = false;

  Farewell arriving, leaving;
  MPI_Request farewell_arrives = MPI_REQUEST_NULL;
  Requests farewells_leave;
  std::optional<std::string> reason;  // the first that is known here
  int exit_status = 1;

  std::vector<Abandoned> abandoned;
  std::optional<Clock::time_point> give_up_at;
  int idle_rounds = 0;

  bool silent() const { return !abandoned.empty(); }

  void poll_control() {
    if (reason || silent()) return;
    int arrived = 0;
    check_mpi(MPI_Test(&farewell_arrives, &arrived, MPI_STATUS_IGNORE), "MPI_Test");
    if (arrived != 0) take(arriving);
  }

  void take(const Farewell& first) {
    reason = first.reason.data();
    exit_status = first.exit_status;
  }

  void abort(const std::string& text, int status) {
    poll_control();
    if (reason) return;
    leaving.exit_status = status;
    text.copy(leaving.reason.data(), leaving.reason.size() - 1);
    take(leaving);
    if (silent()) return;  // MPI_Abort of ~MpiWorld will have to do
    for (int to = 0; to < size; ++to) {
      if (to == rank) continue;
      MPI_Request& request = farewells_leave.emplace_back(MPI_REQUEST_NULL);
      MPI_Isend(&leaving, sizeof(Farewell), MPI_BYTE, to, 0, control, &request);
    }
    push_out_farewells(Clock::now() + seconds(0.1));
  }

  /// A rank that died does not keep the others from hearing, so errors are passed over.
  void push_out_farewells(Clock::time_point until) noexcept {
    while (!silent()) {
      int done = 0;
      const int code = MPI_Testall(static_cast<int>(farewells_leave.size()), farewells_leave.data(),
                                   &done, MPI_STATUSES_IGNORE);
      if (code != MPI_SUCCESS || done != 0 || Clock::now() >= until) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  /// Returns once the memory of the message is no longer used, or MPI can no longer be called.
  void give_up(Abandoned message, bool incoming) {
    Requests& requests = message.requests;
    if (std::ranges::all_of(requests, [](MPI_Request r) { return r == MPI_REQUEST_NULL; })) return;
    if (!silent()) {
      for (MPI_Request& request : requests) {
        if (incoming && request != MPI_REQUEST_NULL) MPI_Cancel(&request);
      }
      // What the other side has begun to take or to send, it may well finish.
      if (!give_up_at) give_up_at = Clock::now() + seconds(reason ? 0.1 : 1.0);
      do {
        int done = 0;
        const int code = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done,
                                     MPI_STATUSES_IGNORE);
        if (code == MPI_SUCCESS && done != 0) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } while (Clock::now() < *give_up_at);
    }
    abandoned.push_back(std::move(message));
  }

  void end_all();
  void finalize();
};

/// A header on the tag of the channel, then the data, in pieces, on a tag of their own. The data is
/// received once the header has come and has the right size: MPI does not survive a message that is
/// longer than the memory for it (Open MPI 4.1 over shared memory).
class MpiMessage final : public Transfer {
 public:
  using State = MpiWorld::State;

  static std::unique_ptr<MpiMessage> send(std::shared_ptr<State> state, int to, int tag,
                                          const Envelope& envelope,
                                          std::span<const std::byte> data) {
    State& s = *state;
    std::int32_t& data_tag = s.data_tags[static_cast<std::size_t>(to)];
    data_tag = data_tag == s.largest_tag ? 0 : data_tag + 1;
    auto message = std::unique_ptr<MpiMessage>(new MpiMessage(std::move(state), to));
    *message->header_ = {envelope, data_tag};
    check_mpi(MPI_Isend(message->header_.get(), sizeof(MpiHeader), MPI_BYTE, to, tag, s.headers,
                        message->add()),
              "MPI_Isend");
    message->in_pieces(data, [&](std::span<const std::byte> piece) {
      check_mpi(MPI_Isend(piece.data(), static_cast<int>(piece.size()), MPI_BYTE, to, data_tag,
                          s.data, message->add()),
                "MPI_Isend");
    });
    return message;
  }

  static std::unique_ptr<MpiMessage> receive(std::shared_ptr<State> state, int from, int tag,
                                             Envelope& envelope, std::span<std::byte> data) {
    const State& s = *state;
    auto message = std::unique_ptr<MpiMessage>(new MpiMessage(std::move(state), from));
    message->received_ = &envelope;
    message->memory_ = data;
    check_mpi(MPI_Irecv(message->header_.get(), sizeof(MpiHeader), MPI_BYTE, from, tag, s.headers,
                        message->add()),
              "MPI_Irecv");
    return message;
  }

  ~MpiMessage() override {
    state_->give_up({std::move(requests_), std::move(header_)}, received_ != nullptr);
  }

  std::optional<Clock::time_point> poll() override {
    check(!state_->silent(), "a message could not be taken back, MPI is no longer called");
    if (!test_all(requests_)) return {};
    if (received_ != nullptr && requests_.size() == 1) {  // so far only the header
      *received_ = header_->envelope;
      if (std::cmp_equal(received_->bytes, memory_.size())) receive_data();
      if (!test_all(requests_)) return {};
    }
    state_->idle_rounds = 0;
    return Clock::now();
  }

 private:
  MpiMessage(std::shared_ptr<State> state, int peer)
      : state_(std::move(state)), header_(std::make_unique<MpiHeader>()), peer_(peer) {}

  MPI_Request* add() { return &requests_.emplace_back(MPI_REQUEST_NULL); }

  void receive_data() {
    in_pieces(memory_, [&](std::span<std::byte> piece) {
      check_mpi(MPI_Irecv(piece.data(), static_cast<int>(piece.size()), MPI_BYTE, peer_,
                          header_->data_tag, state_->data, add()),
                "MPI_Irecv");
    });
  }

  template <class Bytes, class Post>
  void in_pieces(Bytes data, Post post) {
    const std::size_t largest = static_cast<std::size_t>(state_->options.largest_message);
    for (; !data.empty(); data = data.subspan(std::min(largest, data.size()))) {
      post(data.first(std::min(largest, data.size())));
    }
  }

  std::shared_ptr<State> state_;
  std::unique_ptr<MpiHeader> header_;
  int peer_;
  Envelope* received_ = nullptr;  // null: this end sends
  std::span<std::byte> memory_;   // of the end that receives
  Requests requests_;
};

class MpiLink final : public Link {
 public:
  explicit MpiLink(std::shared_ptr<MpiWorld::State> state) : state_(std::move(state)) {}

  int rank() const override { return state_->rank; }
  int size() const override { return state_->size; }
  std::unique_ptr<Transfer> send(int to, std::uint32_t channel, const Envelope& envelope,
                                 std::span<const std::byte> data) override {
    return MpiMessage::send(state_, to, tag(channel), envelope, data);
  }
  std::unique_ptr<Transfer> receive(int from, std::uint32_t channel, Envelope& envelope,
                                    std::span<std::byte> data) override {
    return MpiMessage::receive(state_, from, tag(channel), envelope, data);
  }

  std::uint64_t news() override { return 0; }  // MPI tells only when asked
  void wait_for_news(std::uint64_t, Clock::time_point) override {
    if (++state_->idle_rounds < 1000) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  void abort(const std::string& reason) override { state_->abort(reason, 1); }
  std::optional<std::string> aborted() override {
    state_->poll_control();
    return state_->reason;
  }

 private:
  int tag(std::uint32_t channel) const {
    check(std::cmp_less_equal(channel, state_->largest_tag), "MPI has tags up to {} only",
          state_->largest_tag);
    return static_cast<int>(channel);
  }

  std::shared_ptr<MpiWorld::State> state_;
};

// A launcher may have bound each rank to processors of its own, some ranks to the same, or none.
static int processors_of(MPI_Comm local, int local_size) {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof mine, &mine) != 0) return 1;
  std::vector<cpu_set_t> all(static_cast<std::size_t>(local_size));
  check_mpi(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, local),
            "MPI_Allgather");
  const auto sharing = std::count_if(all.begin(), all.end(),
                                     [&](const cpu_set_t& s) { return CPU_EQUAL(&s, &mine); });
  return std::max(1, CPU_COUNT(&mine) / static_cast<int>(sharing));
}

MpiWorld::MpiWorld(const MpiOptions& options) : state_(std::make_shared<State>()) {
  check(options.largest_message > 0 && options.largest_message <= std::int64_t{1} << 30,
        "MpiOptions: messages of {} bytes", options.largest_message);
  State& s = *state_;
  s.options = options;
  s.exceptions_before = std::uncaught_exceptions();
  int initialized = 0, provided = 0;
  MPI_Initialized(&initialized);
  check(initialized == 0, "MPI has been started before");
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  check(provided >= MPI_THREAD_SERIALIZED, "this MPI cannot be called from more than one thread");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);  // those made from it have it too
  for (MPI_Comm* comm : {&s.headers, &s.data, &s.control}) {
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, comm), "MPI_Comm_dup");
  }
  MPI_Comm_rank(MPI_COMM_WORLD, &s.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &s.size);
  s.data_tags.resize(static_cast<std::size_t>(s.size));

  MPI_Comm local = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local),
            "MPI_Comm_split_type");
  MPI_Comm_rank(local, &s.local_rank);
  MPI_Comm_size(local, &s.local_size);
  s.processors = processors_of(local, s.local_size);
  MPI_Comm_free(&local);

  int* largest_tag = nullptr;
  int found = 0;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &largest_tag, &found);
  s.largest_tag = found != 0 ? *largest_tag : 32767;
  check_mpi(MPI_Irecv(&s.arriving, sizeof(Farewell), MPI_BYTE, MPI_ANY_SOURCE, 0, s.control,
                      &s.farewell_arrives),
            "MPI_Irecv");
}

MpiWorld::~MpiWorld() {
  State& s = *state_;
  const bool passing = std::uncaught_exceptions() > s.exceptions_before;
  try {
    s.poll_control();
    if (passing) s.abort(fmt::format("rank {} failed", s.rank), 1);
  } catch (const Error&) {
    s.end_all();
  }
  if (s.reason || s.silent()) {
    s.end_all();
  } else {
    s.finalize();
  }
}

void MpiWorld::State::end_all() {
  const Clock::time_point until = Clock::now() + seconds(options.grace_seconds);
  push_out_farewells(until);
  std::this_thread::sleep_until(until);
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_status);
}

void MpiWorld::State::finalize() {
  MPI_Cancel(&farewell_arrives);
  MPI_Wait(&farewell_arrives, MPI_STATUS_IGNORE);
  for (MPI_Comm* comm : {&control, &data, &headers}) MPI_Comm_free(comm);
  MPI_Finalize();
}

int MpiWorld::rank() const { return state_->rank; }
int MpiWorld::size() const { return state_->size; }
int MpiWorld::local_rank() const { return state_->local_rank; }
int MpiWorld::local_size() const { return state_->local_size; }

int MpiWorld::processors() const { return state_->processors; }

void MpiWorld::set_timeout(double seconds) { state_->options.timeout_seconds = seconds; }

std::unique_ptr<Communicator> MpiWorld::communicator() {
  check(!std::exchange(state_->given_out, true), "the communicator of MPI is given out once");
  return make_world_communicator(std::make_unique<MpiLink>(state_),
                                 state_->options.timeout_seconds);
}

void MpiWorld::abort(std::string_view reason, int exit_status) {
  state_->abort(fmt::format("rank {} failed: {}", state_->rank, reason), exit_status);
}

}  // namespace mixspan
