// Each way of moving numbers forward and the way that moves their gradients back are adjoint.
#include <gtest/gtest.h>

#include "parallel/exchange_plan.h"
#include "parallel/grad_sync.h"
#include "tests/parallel/adjoint.h"

namespace mixspan {
namespace {

using namespace test;

class AdjointOn : public testing::TestWithParam<int> {
 protected:
  static Products sum(const std::function<Products(Communicator&)>& body) {
    return sum_over_ranks(GetParam(), body);
  }
  static void expect_adjoint(const std::function<Products(Communicator&)>& body) {
    const Products p = sum(body);
    EXPECT_EQ(p.forward, p.backward);
    EXPECT_NE(p.forward, 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Ranks, AdjointOn, testing::Values(1, 2, 3, 4, 5));

// Uneven, one of them empty from 3 ranks on.
std::vector<Range> uneven_parts(int ranks) {
  std::vector<Range> parts;
  std::int64_t at = 0;
  for (int r = 0; r < ranks; ++r) {
    const std::int64_t size = r == 2 ? 0 : 3 + 2 * r;
    parts.push_back({at, at + size});
    at += size;
  }
  return parts;
}

TEST_P(AdjointOn, AllGatherAndReduceScatter) {
  expect_adjoint([](Communicator& comm) {
    const std::vector<Range> parts = uneven_parts(comm.size());
    const Range mine = parts[static_cast<std::size_t>(comm.rank())];
    const std::int64_t n = parts.back().end;
    Tensor x = integers({n, 3}, seed(comm, 0)), y = integers({n, 3}, seed(comm, 1));
    const Tensor own = integers({n, 3}, seed(comm, 0)), theirs = integers({n, 3}, seed(comm, 1));
    comm.all_gather(kCall, x, parts).wait();
    comm.reduce_scatter_sum(kCall, y, parts).wait();
    return Products{dot(x, theirs), dot(own.view().slice(0, mine.begin, mine.end),
                                        y.view().slice(0, mine.begin, mine.end))};
  });
}

TEST_P(AdjointOn, AllReduceAndItself) {
  expect_adjoint([](Communicator& comm) {
    Tensor x = integers({23}, seed(comm, 0)), y = integers({23}, seed(comm, 1));
    const Tensor own = integers({23}, seed(comm, 0)), theirs = integers({23}, seed(comm, 1));
    comm.all_reduce_sum(kCall, x).wait();
    comm.all_reduce_sum(kCall, y).wait();
    return Products{dot(x, theirs), dot(own, y)};
  });
}

// Blocks of rows x heads: the message of r to s has 2 r + 1 rows of s + 1 heads.
TEST_P(AdjointOn, AllToAllThereAndBack) {
  expect_adjoint([](Communicator& comm) {
    std::vector<Tensor> x, ax, y, aty;
    for (int r = 0; r < comm.size(); ++r) {
      const Shape out{2 * comm.rank() + 1, r + 1}, in{2 * r + 1, comm.rank() + 1};
      x.push_back(integers(out, seed(comm, 0) + 100 * static_cast<std::uint64_t>(r)));
      aty.emplace_back(out);
      y.push_back(integers(in, seed(comm, 1) + 100 * static_cast<std::uint64_t>(r)));
      ax.emplace_back(in);
    }
    const auto views = [](std::vector<Tensor>& t) { return std::vector<View>(t.begin(), t.end()); };
    const auto given = [](std::vector<Tensor>& t) {
      return std::vector<ConstView>(t.begin(), t.end());
    };
    comm.all_to_all(kCall, given(x), views(ax)).wait();
    comm.all_to_all(kCall, given(y), views(aty)).wait();
    Products p;
    for (std::size_t r = 0; r < x.size(); ++r) {
      p.forward += dot(ax[r], y[r]);
      p.backward += dot(x[r], aty[r]);
    }
    return p;
  });
}

constexpr std::int64_t kWidth = 3;

// The messages of a plan, forward into halos and back into sums at the owners of the rows.
class HaloMap {
 public:
  HaloMap(Communicator& comm, const HaloPlan& plan) : comm_(comm), plan_(plan) {}

  std::vector<Tensor> make_halos() const {
    std::vector<Tensor> halos;
    for (const ChunkHalo& h : plan_.halos(comm_.rank())) {
      halos.emplace_back(Shape{h.positions.size(), kWidth});
    }
    return halos;
  }
  std::vector<Tensor> forward(const Tensor& rows) const {
    Mail sent = mail(outgoing()), received = mail(incoming());
    for_each_part(sent, [&](const auto& part, View in_message) {
      copy(in_message, rows.view().slice(0, part.rows.begin, part.rows.end));
    });
    exchange(sent, received);
    std::vector<Tensor> halos = make_halos();
    for_each_part(received, [&](const auto& part, View in_message) {
      copy(halo_rows(halos, part), in_message);
    });
    return halos;
  }
  Tensor backward(std::vector<Tensor>& halos, std::int64_t held) const {
    Mail sent = mail(incoming()), received = mail(outgoing());
    for_each_part(
        sent, [&](const auto& part, View in_message) { copy(in_message, halo_rows(halos, part)); });
    exchange(sent, received);
    Tensor rows({held, kWidth});
    for_each_part(received, [&](const auto& part, View in_message) {
      const View to = rows.view().slice(0, part.rows.begin, part.rows.end);
      for (std::int64_t i = 0; i < to.size(); ++i) {
        to.data<float>()[i] += in_message.data<float>()[i];
      }
    });
    return rows;
  }

 private:
  struct Message {
    HaloMessage parts;
    Tensor data;
  };
  using Mail = std::vector<Message>;

  std::vector<HaloMessage> outgoing() const { return with_own(plan_.sends(comm_.rank())); }
  std::vector<HaloMessage> incoming() const { return with_own(plan_.receives(comm_.rank())); }
  std::vector<HaloMessage> with_own(std::vector<HaloMessage> all) const {
    HaloMessage own = plan_.message(comm_.rank(), comm_.rank());
    if (!own.parts.empty()) all.push_back(std::move(own));
    return all;
  }
  static Mail mail(const std::vector<HaloMessage>& messages) {
    Mail all;
    for (const HaloMessage& m : messages) all.push_back({m, Tensor({m.rows(), kWidth})});
    return all;
  }
  template <class Body>
  static void for_each_part(Mail& mail, Body&& body) {
    for (Message& m : mail) {
      std::int64_t at = 0;
      for (const HaloMessage::Part& part : m.parts.parts) {
        body(part, m.data.view().slice(0, at, at + part.rows.size()));
        at += part.rows.size();
      }
    }
  }
  static void copy(View to, ConstView from) {
    check_shape("rows of a halo", from, to.shape());
    std::copy_n(from.data<float>(), from.size(), to.data<float>());
  }
  static View halo_rows(std::vector<Tensor>& halos, const HaloMessage::Part& part) {
    return halos[static_cast<std::size_t>(part.chunk)].view().slice(0, part.halo_rows.begin,
                                                                    part.halo_rows.end);
  }
  void exchange(Mail& sent, Mail& received) const {
    const auto peer = [&](const Message& m) {
      return m.parts.from == comm_.rank() ? m.parts.to : m.parts.from;
    };
    std::vector<Communicator::Send> sends;
    std::vector<Communicator::Receive> receives;
    for (Message& m : sent) sends.push_back({peer(m), m.data});
    for (Message& m : received) receives.push_back({peer(m), m.data});
    comm_.exchange(kCall, sends, receives).wait();
  }

  Communicator& comm_;
  const HaloPlan& plan_;
};

TEST_P(AdjointOn, HalosAndTheirGradients) {
  for (const LayoutKind kind : {LayoutKind::contiguous, LayoutKind::zigzag}) {
    for (const AnySpan& span : {AnySpan(FullSpan{}), AnySpan(SlidingSpan{4}),
                                AnySpan(SlidingSpan{20}), AnySpan(BlockSpan{7, 1})}) {
      const SequenceLayout layout(kind, 47, GetParam());
      const HaloPlan plan(span, layout);
      if (plan.moves_nothing() && GetParam() == 1) continue;
      SCOPED_TRACE(span.str() + " " + str(kind));
      expect_adjoint([&](Communicator& comm) {
        const HaloMap map(comm, plan);
        const Tensor x = integers({layout.rows(comm.rank()), kWidth}, seed(comm, 0));
        const std::vector<Tensor> ax = map.forward(x);
        std::vector<Tensor> y;
        for (const Tensor& halo : ax) y.push_back(integers(halo.shape(), seed(comm, 1)));
        Products p{0, dot(x, map.backward(y, layout.rows(comm.rank())))};
        for (std::size_t i = 0; i < ax.size(); ++i) p.forward += dot(ax[i], y[i]);
        return p;
      });
    }
  }
}

double dot_of(const std::vector<Range>& ranges, const Tensor& x, const Tensor& y) {
  double sum = 0;
  for (const Range& r : ranges) {
    sum += dot(x.view().slice(0, r.begin, r.end), y.view().slice(0, r.begin, r.end));
  }
  return sum;
}

// The weights that each rank updates go to all; the gradients of all come to who updates.
TEST_P(AdjointOn, ShardedWeightsAndTheirGradients) {
  expect_adjoint([](Communicator& comm) {
    // One has a single line; more than are under way at a time.
    const std::vector<Range> buckets{{0, 48},   {48, 64},   {64, 96},
                                     {96, 144}, {144, 176}, {176, 240}};
    GradSync sync(comm, buckets, true);
    Tensor x = integers({240}, seed(comm, 0)), y = integers({240}, seed(comm, 1));
    const Tensor own = integers({240}, seed(comm, 0)), theirs = integers({240}, seed(comm, 1));
    sync.gather(x, "weights");
    for (std::size_t b = buckets.size(); b-- > 0;) sync.ready(y, b, static_cast<std::int64_t>(b));
    sync.finish();
    return Products{dot(x, theirs), dot_of(sync.owned(), own, y)};
  });
}

TEST_P(AdjointOn, WholeGradientsAndThemselves) {
  expect_adjoint([](Communicator& comm) {
    Tensor x = integers({96}, seed(comm, 0)), y = integers({96}, seed(comm, 1));
    const Tensor own = integers({96}, seed(comm, 0)), theirs = integers({96}, seed(comm, 1));
    for (Tensor* gradients : {&x, &y}) {
      GradSync sync(comm, {{0, 16}, {16, 96}}, false);
      sync.ready(*gradients, 1, 1);
      sync.ready(*gradients, 0, 0);
      sync.finish();
    }
    return Products{dot(x, theirs), dot(own, y)};
  });
}

}  // namespace
}  // namespace mixspan
