#include "tests/cuda/fake_nccl.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

#include "core/device.h"

namespace mixspan::test {

namespace {

constexpr int kFailed = 1;
constexpr std::chrono::seconds kPatience{20};

struct Message {
  const void* data;
  std::size_t bytes;
  Event ready;
  OwnedEvent taken;
  bool was_taken = false;
};

// What all ranks of a communicator share.
struct Ranks {
  int count = 0, joined = 0;
  std::map<std::pair<int, int>, std::deque<Message*>> sent;  // by sender and receiver
};

struct Comm {
  Ranks* ranks;
  int rank;
};

struct Step {
  bool incoming;
  void* data;
  std::size_t bytes;
  int peer;
  Comm* comm;
  Stream stream;
};

struct World {
  std::mutex mutex;
  std::condition_variable changed;
  int ids = 0;
  std::map<int, Ranks> all;

  template <class Holds>
  bool wait_until(std::unique_lock<std::mutex>& lock, Holds holds) {
    return changed.wait_for(lock, kPatience, holds);
  }
};
World& world() {
  static World one;
  return one;
}
thread_local std::vector<Step> group;

OwnedEvent mark(Stream stream) {
  OwnedEvent event({DeviceKind::cuda, 0});
  record(event, stream);
  return event;
}

int get_unique_id(NcclId* id) {
  const std::lock_guard lock(world().mutex);
  const int number = ++world().ids;
  id->bytes = {};
  std::memcpy(id->bytes.data(), &number, sizeof number);
  return 0;
}

int comm_init_rank(void** comm, int count, NcclId id, int rank) {
  int number = 0;
  std::memcpy(&number, id.bytes.data(), sizeof number);
  std::unique_lock lock(world().mutex);
  Ranks& ranks = world().all[number];
  ranks.count = count;
  ++ranks.joined;
  world().changed.notify_all();
  if (!world().wait_until(lock, [&] { return ranks.joined == count; })) return kFailed;
  *comm = new Comm{&ranks, rank};
  return 0;
}

int comm_end(void* comm) {
  delete static_cast<Comm*>(comm);
  return 0;
}

int add(bool incoming, void* data, std::size_t bytes, int type, int peer, void* comm,
        void* stream) {
  if (type != 1) return kFailed;
  group.push_back({incoming, data, bytes, peer, static_cast<Comm*>(comm), Stream(stream)});
  return 0;
}
int send(const void* data, std::size_t count, int type, int peer, void* comm, void* stream) {
  return add(false, const_cast<void*>(data), count, type, peer, comm, stream);
}
int receive(void* data, std::size_t count, int type, int peer, void* comm, void* stream) {
  return add(true, data, count, type, peer, comm, stream);
}

int group_end() {
  const std::vector<Step> steps = std::move(group);
  group.clear();
  std::deque<OwnedEvent> ready;
  std::deque<Message> mine;
  std::unique_lock lock(world().mutex);
  for (const Step& s : steps) {
    if (s.incoming) continue;
    ready.push_back(mark(s.stream));
    mine.push_back({s.data, s.bytes, ready.back(), {}, false});
    s.comm->ranks->sent[{s.comm->rank, s.peer}].push_back(&mine.back());
  }
  world().changed.notify_all();
  for (const Step& s : steps) {
    if (!s.incoming) continue;
    auto& queue = s.comm->ranks->sent[{s.peer, s.comm->rank}];
    if (!world().wait_until(lock, [&] { return !queue.empty(); })) return kFailed;
    Message& m = *queue.front();
    queue.pop_front();
    wait(s.stream, m.ready);
    if (m.bytes == s.bytes) copy_bytes(s.stream, s.data, m.data, s.bytes);
    m.taken = mark(s.stream);
    m.was_taken = true;
    world().changed.notify_all();
  }
  auto message = mine.begin();
  for (const Step& s : steps) {
    if (s.incoming) continue;
    if (!world().wait_until(lock, [&] { return message->was_taken; })) return kFailed;
    wait(s.stream, message->taken);
    ++message;
  }
  return 0;
}

}  // namespace

NcclFunctions fake_nccl() {
  return {.GetVersion =
              [](int* version) {
                *version = 0;
                return 0;
              },
          .GetUniqueId = get_unique_id,
          .CommInitRank = comm_init_rank,
          .CommDestroy = comm_end,
          .CommAbort = comm_end,
          .GroupStart = [] { return 0; },
          .GroupEnd = group_end,
          .Send = send,
          .Recv = receive,
          .GetErrorString = [](int) { return "a rank stayed away"; }};
}

}  // namespace mixspan::test
