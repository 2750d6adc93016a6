// Collectives between ranks whose tensors are on a device against the same calls on host memory,
// bit for bit: from device to device, through pinned memory as between processes, and by NCCL's
// functions, for which fake_nccl.h stands.
#include <fmt/format.h>

#include <cmath>

#include "parallel/grad_sync.h"
#include "parallel/shares.h"
#include "parallel/thread_ranks.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/fake_nccl.h"
#include "tests/support/close.h"
#include "tests/support/fixture.h"

namespace mixspan::test {
namespace {

/// One of the ranks, with a stream and tensors of its own.
struct Rank {
  Communicator& world;
  Device device;
  Stream stream;

  int me() const { return world.rank(); }
  int size() const { return world.size(); }

  /// A tensor on the host, whose bits are those of random numbers of this seed, and its copy on the
  /// device.
  struct Twin {
    Tensor host, there;
  };
  Twin twin(Shape shape, DType dtype, int seed) const {
    Twin t{Tensor(shape, dtype), Tensor(shape, dtype, device)};
    const Tensor x = random_tensor(shape, static_cast<std::uint64_t>(seed), 100);
    if (dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16) {
      t.host = as_dtype(dtype, x);
    } else {
      auto* bytes = static_cast<unsigned char*>(t.host.view().raw());
      for (std::size_t i = 0; i < t.host.view().size_bytes(); ++i) {
        bytes[i] = static_cast<unsigned char>(i * 31 + static_cast<std::size_t>(seed) * 7 + 1);
      }
    }
    copy_bytes(stream, t.there.view().raw(), t.host.view().raw(), t.host.view().size_bytes());
    return t;
  }
  void expect_equal(const Twin& t, const std::string& what) const {
    Tensor got(t.host.shape(), t.host.view().dtype());
    copy_bytes(stream, got.view().raw(), t.there.view().raw(), got.view().size_bytes());
    synchronise(stream);
    EXPECT_EQ(bits_differ(got, t.host), "") << what << " on rank " << me() << " of " << size();
  }
};

// Parts of 1, 0, 2, 3 ... rows.
std::vector<Range> uneven_parts(int ranks) {
  std::vector<Range> parts;
  std::int64_t end = 0;
  for (int r = 0; r < ranks; ++r) {
    const std::int64_t rows = r == 0 ? 1 : r == 1 ? 0 : r;
    parts.push_back({end, end + rows});
    end += rows;
  }
  return parts;
}

constexpr DeviceTransport kTransports[] = {DeviceTransport::automatic,
                                           DeviceTransport::through_host, DeviceTransport::nccl};

class CommunicatorOnDevice : public DeviceTest {
 protected:
  void on_ranks(int ranks, DeviceTransport transport,
                const std::function<void(const Rank&)>& body) const {
    const NcclFunctions nccl = fake_nccl();
    run_thread_ranks(ranks, {.timeout_seconds = 60}, [&](std::unique_ptr<Communicator> world) {
      use_device(device());
      const OwnedStream stream(device());
      world->use_device({device(), stream, transport, &nccl});
      body({*world, device(), stream});
      synchronise(stream);
      world->barrier({"end"});  // what others still read lives until here
    });
  }
  void on_all(const std::function<void(const Rank&)>& body) const {
    for (const DeviceTransport transport : kTransports) {
      for (const int ranks : {1, 2, 3, 4}) {
        SCOPED_TRACE(fmt::format("{} ranks, transport {}", ranks, static_cast<int>(transport)));
        on_ranks(ranks, transport, body);
      }
    }
  }
};

TEST_F(CommunicatorOnDevice, GathersAndBroadcasts) {
  on_all([](const Rank& rank) {
    const std::vector<Range> parts = uneven_parts(rank.size());
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i64, DType::u8}) {
      Rank::Twin x = rank.twin({parts.back().end, 5}, dtype, rank.me());
      rank.world.all_gather({"rows"}, x.there, parts).wait();
      rank.world.host().all_gather({"rows"}, x.host, parts).wait();
      rank.expect_equal(x, "all_gather");
      Rank::Twin y = rank.twin({33}, dtype, rank.me());
      rank.world.broadcast({"weights"}, y.there, rank.size() - 1).wait();
      rank.world.host().broadcast({"weights"}, y.host, rank.size() - 1).wait();
      rank.expect_equal(y, "broadcast");
    }
  });
}

// However many buckets there are, the memory is that of as many as are under way.
TEST_F(CommunicatorOnDevice, GradientsUnderWayHoldTheMemoryOfFewBuckets) {
  if (!emulated()) GTEST_SKIP() << "another process may use the device's memory";
  constexpr std::int64_t bucket = 1 << 18, count = 12, last = 1 << 20, ranks = 2;
  std::vector<Range> buckets;
  for (std::int64_t b = 0; b < count; ++b) buckets.push_back({b * bucket, (b + 1) * bucket});
  buckets.push_back({count * bucket, count * bucket + last});  // as the embeddings
  std::size_t before = 0, after = 0;
  on_ranks(ranks, DeviceTransport::automatic, [&](const Rank& rank) {
    Rank::Twin grads = rank.twin({count * bucket + last}, DType::f32, rank.me());
    GradSync sync(rank.world, buckets, true);
    rank.world.barrier({"begin"});
    if (rank.me() == 0) before = memory_of(rank.device).free_bytes;
    rank.world.barrier({"post"});
    for (std::size_t b = 0; b < buckets.size(); ++b) sync.ready(grads.there, b, 0);
    sync.finish();
    rank.world.barrier({"end"});
    if (rank.me() == 0) after = memory_of(rank.device).free_bytes;
    rank.world.barrier({"known"});
  });
  // Of each bucket a rank holds the half that the other has sent of its own.
  const std::size_t held = (GradSync::kUnderWay * bucket + last) / 2 * sizeof(float) * ranks;
  EXPECT_LE(before - after, held + held / 8);
  EXPECT_GE(before - after, held);
}

TEST_F(CommunicatorOnDevice, AddsInTheOrderOfTheRanks) {
  on_all([](const Rank& rank) {
    const std::vector<Range> parts = uneven_parts(rank.size());
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64, DType::i32, DType::i64}) {
      for (int round = 0; round < 2; ++round) {  // the second in memory of the first
        Rank::Twin x = rank.twin({parts.back().end, 130}, dtype, rank.me() + round);
        rank.world.reduce_scatter_sum({"gradients"}, x.there, parts).wait();
        rank.world.host().reduce_scatter_sum({"gradients"}, x.host, parts).wait();
        rank.expect_equal(x, "reduce_scatter_sum");
        Rank::Twin y = rank.twin({3, 47}, dtype, rank.me() + round);
        rank.world.all_reduce_sum({"gradients"}, y.there).wait();
        rank.world.host().all_reduce_sum({"gradients"}, y.host).wait();
        rank.expect_equal(y, "all_reduce_sum");
      }
    }
  });
}

TEST_F(CommunicatorOnDevice, MovesMessagesBetweenPairs) {
  on_all([](const Rank& rank) {
    const int P = rank.size(), me = rank.me();
    const auto count = [](int from, int to) { return std::int64_t{(from + 2 * to) % 4}; };
    std::vector<Rank::Twin> out, in;
    for (int r = 0; r < P; ++r) {
      out.push_back(rank.twin({count(me, r)}, DType::i32, 10 * me + r));
      in.push_back(rank.twin({count(r, me)}, DType::i32, 0));
    }
    std::vector<ConstView> send, send_host;
    std::vector<View> receive, receive_host;
    for (int r = 0; r < P; ++r) {
      const auto i = static_cast<std::size_t>(r);
      send.push_back(out[i].there);
      send_host.push_back(out[i].host);
      receive.push_back(in[i].there);
      receive_host.push_back(in[i].host);
    }
    rank.world.all_to_all({"heads"}, send, receive).wait();
    rank.world.host().all_to_all({"heads"}, send_host, receive_host).wait();
    for (const Rank::Twin& t : in) rank.expect_equal(t, "all_to_all");

    // Three messages to the next rank, an empty one among them, and one to oneself.
    const int next = (me + 1) % P, previous = (me + P - 1) % P;
    std::vector<Rank::Twin> a, b;
    for (const std::int64_t n : {2, 0, 3000, 1}) {
      a.push_back(rank.twin({n}, DType::f32, 10 * me + static_cast<int>(n)));
      b.push_back(rank.twin({n}, DType::f32, 99));
    }
    const auto exchange = [&](Communicator& comm, auto&& of) {
      const std::vector<Communicator::Send> sends = {
          {next, of(a[0])}, {me, of(a[3])}, {next, of(a[1])}, {next, of(a[2])}};
      std::vector<Communicator::Receive> receives = {
          {me, of(b[3])}, {previous, of(b[0])}, {previous, of(b[1])}, {previous, of(b[2])}};
      if (P == 1) receives = {{0, of(b[0])}, {0, of(b[3])}, {0, of(b[1])}, {0, of(b[2])}};
      comm.exchange({"halo", 1}, sends, receives).wait();
    };
    exchange(rank.world, [](Rank::Twin& t) { return t.there.view(); });
    exchange(rank.world.host(), [](Rank::Twin& t) { return t.host.view(); });
    for (const Rank::Twin& t : b) rank.expect_equal(t, "exchange");
  });
}

// What is sent is what the stream had computed when the call was made, and wait() is early enough
// for what it computes next; calls of two axes and of the host are under way at once.
TEST_F(CommunicatorOnDevice, CallsAreInTheOrderOfTheStreamAndWaitedForInAnyOrder) {
  on_all([](const Rank& rank) {
    const std::unique_ptr<Communicator> other = rank.world.split(0, "other");
    for (int round = 0; round < 3; ++round) {
      std::vector<Rank::Twin> x;
      std::vector<Pending> pending;
      for (int c = 0; c < 6; ++c) {
        x.push_back(rank.twin({50 + 130 * c}, DType::f32, rank.me() + c));
        Communicator& comm = c % 2 == 0 ? rank.world : *other;
        const View there = x.back().there;
        pending.push_back(c == 4 ? comm.broadcast({"b", c}, there, 0)
                                 : comm.all_reduce_sum({"s", c}, there));
      }
      EXPECT_EQ(rank.world.all_reduce_sum({"loss"}, 1.0), rank.size());
      for (int k = 0; k < 6; ++k) {
        const int step = rank.me() % 2 == 0 ? 1 : 5;
        pending[static_cast<std::size_t>((round + rank.me() + k * step) % 6)].wait();
      }
      for (int c = 0; c < 6; ++c) {
        Rank::Twin& t = x[static_cast<std::size_t>(c)];
        if (c == 4) {
          rank.world.host().broadcast({"b", c}, t.host, 0).wait();
        } else {
          rank.world.host().all_reduce_sum({"s", c}, t.host).wait();
        }
        rank.expect_equal(t, fmt::format("call {} of round {}", c, round));
      }
    }
  });
}

TEST_F(CommunicatorOnDevice, WhatIsWrongIsNamedAndEndsAllRanks) {
  for (const DeviceTransport transport : kTransports) {
    SCOPED_TRACE(static_cast<int>(transport));
    const auto failure = [&](const std::function<void(const Rank&)>& body) -> std::string {
      try {
        on_ranks(2, transport, body);
      } catch (const std::exception& e) {
        return e.what();
      }
      return "nothing was thrown";
    };
    const std::string sizes = failure([](const Rank& rank) {
      Rank::Twin x = rank.twin({rank.me() + 3}, DType::f32, 1);
      rank.world.broadcast({"weights"}, x.there, 0).wait();
    });
    EXPECT_NE(sizes.find("sizes differ in broadcast \"weights\""), std::string::npos) << sizes;
    const std::string calls = failure([](const Rank& rank) {
      Rank::Twin x = rank.twin({4}, DType::f32, 1);
      rank.world.all_reduce_sum({rank.me() == 0 ? "this" : "that"}, x.there).wait();
    });
    EXPECT_NE(calls.find("ranks make different calls"), std::string::npos) << calls;
    const std::string thrown = failure([](const Rank& rank) {
      Rank::Twin x = rank.twin({4000}, DType::f32, 1);
      Pending pending = rank.world.all_reduce_sum({"sum"}, x.there);
      if (rank.me() == 1) fail("no more");
      pending.wait();
      rank.world.barrier({"never"});
    });
    EXPECT_EQ(thrown, "no more");
    const std::string dtype = failure([](const Rank& rank) {
      Rank::Twin x = rank.twin({4}, DType::u16, 1);
      rank.world.all_reduce_sum({"shorts"}, x.there).wait();
    });
    EXPECT_NE(dtype.find("no implementation for dtype u16"), std::string::npos) << dtype;
  }
}

TEST_F(CommunicatorOnDevice, CountsWhatTheHostsCount) {
  on_ranks(3, DeviceTransport::automatic, [](const Rank& rank) {
    const auto bytes = [&](Communicator& world, View x) {
      world.reset_traffic();
      world.all_reduce_sum({"gradients", 2}, x).wait();
      return world.traffic().at(0).bytes_sent;
    };
    Rank::Twin x = rank.twin({10}, DType::f32, 1);
    EXPECT_EQ(bytes(rank.world, x.there), bytes(rank.world.host(), x.host));
  });
}

TEST_F(CommunicatorOnDevice, ARankStaysOnItsDevice) {
  on_ranks(1, DeviceTransport::automatic, [&](const Rank& rank) {
    const OwnedStream another(device());
    EXPECT_NO_THROW(rank.world.use_device({device(), rank.stream}));
    EXPECT_THROW(rank.world.use_device({device(), another}), Error);
    EXPECT_NO_THROW(rank.world.use_device({}));  // a CPU: host() is what such calls use
  });
}

}  // namespace
}  // namespace mixspan::test
