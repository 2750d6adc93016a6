#include "tests/parallel/communicator_bodies.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "core/trace.h"
#include "parallel/shares.h"

namespace mixspan::test {

namespace {

/// What rank `rank` has at index i. Floating numbers differ by powers of ten, so that the bits of a
/// sum tell the order in which it was taken.
template <class T>
T value(int rank, std::int64_t i) {
  const std::int64_t mixed = (rank * 7919 + i * 104729 + 17) % 1009;
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>((static_cast<double>(mixed) - 500.3) *
                          std::pow(10.0, static_cast<double>((rank * 3 + i) % 7)));
  } else {
    return static_cast<T>(mixed);
  }
}

template <class T>
Tensor filled(int rank, Shape shape) {
  Tensor x(shape, dtype_of<T>());
  for (std::int64_t i = 0; i < x.size(); ++i) x.data<T>()[i] = value<T>(rank, i);
  return x;
}

template <class T>
T sum_over_ranks(int ranks, std::int64_t i) {
  T sum = value<T>(0, i);
  for (int r = 1; r < ranks; ++r) sum += value<T>(r, i);
  return sum;
}

template <class T>
bool same_bits(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

/// Parts of 0, 1, 2 ... rows: the first is empty.
std::vector<Range> growing_parts(int ranks) {
  std::vector<Range> parts;
  std::int64_t end = 0;
  for (int r = 0; r < ranks; ++r) {
    parts.push_back({end, end + r});
    end += r;
  }
  return parts;
}

bool in(Range range, std::int64_t i) { return range.begin <= i && i < range.end; }

void all_gather_fills_x(Communicator& world) {
  const std::vector<Range> parts = growing_parts(world.size());
  const std::int64_t rows = parts.back().end, width = 5;
  const Range own = parts[static_cast<std::size_t>(world.rank())];
  for (const DType dtype :
       {DType::f32, DType::bf16, DType::f64, DType::i64, DType::i32, DType::u16, DType::u8}) {
    Tensor x({rows, width}, dtype);
    const std::size_t row_bytes = static_cast<std::size_t>(width) * size_of(dtype);
    const auto byte = [](std::int64_t row, std::size_t b) {
      return static_cast<unsigned char>(row * 31 + static_cast<std::int64_t>(b) + 1);
    };
    auto* bytes = static_cast<unsigned char*>(x.view().raw());
    for (std::int64_t row = own.begin; row < own.end; ++row) {
      for (std::size_t b = 0; b < row_bytes; ++b) {
        bytes[static_cast<std::size_t>(row) * row_bytes + b] = byte(row, b);
      }
    }
    world.all_gather({.what = "rows"}, x, parts).wait();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::size_t b = 0; b < row_bytes; ++b) {
        ASSERT_EQ(bytes[static_cast<std::size_t>(row) * row_bytes + b], byte(row, b))
            << name_of(dtype) << " row " << row;
      }
    }
  }
}

template <class T>
void reduce_scatter_in_dtype(Communicator& world) {
  const std::vector<Range> parts = growing_parts(world.size());
  const Range own = parts[static_cast<std::size_t>(world.rank())];
  const std::int64_t width = 700;  // more than one block of the summing loop
  Tensor x = filled<T>(world.rank(), {parts.back().end, width});
  world.reduce_scatter_sum({.what = "gradients", .layer = 2}, x, parts).wait();
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const T wanted =
        in(own, i / width) ? sum_over_ranks<T>(world.size(), i) : value<T>(world.rank(), i);
    ASSERT_TRUE(same_bits(x.data<T>()[i], wanted)) << i;
  }
}

void reduce_scatter_adds_in_order_of_ranks(Communicator& world) {
  reduce_scatter_in_dtype<float>(world);
  reduce_scatter_in_dtype<double>(world);
  reduce_scatter_in_dtype<std::int32_t>(world);
  reduce_scatter_in_dtype<std::int64_t>(world);
}

template <class T>
void all_reduce_in_dtype(Communicator& world) {
  for (const std::int64_t n : {0, 1, 3, 7, 1000}) {
    for (int repeat = 0; repeat < 2; ++repeat) {
      Tensor x = filled<T>(world.rank(), {n});
      world.all_reduce_sum({.what = "norms"}, x).wait();
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_TRUE(same_bits(x.data<T>()[i], sum_over_ranks<T>(world.size(), i))) << n << " " << i;
      }
    }
  }
}

void all_reduce_adds_in_order_of_ranks(Communicator& world) {
  all_reduce_in_dtype<float>(world);
  all_reduce_in_dtype<double>(world);
  all_reduce_in_dtype<std::int32_t>(world);
  all_reduce_in_dtype<std::int64_t>(world);
}

void the_order_of_a_sum_shows(Communicator&) {
  int differ = 0;
  for (std::int64_t i = 0; i < 100; ++i) {
    const float forward = (value<float>(0, i) + value<float>(1, i)) + value<float>(2, i);
    const float backward = (value<float>(2, i) + value<float>(1, i)) + value<float>(0, i);
    differ += same_bits(forward, backward) ? 0 : 1;
  }
  EXPECT_GT(differ, 10);  // else the tests of sums could not fail
}

void sums_of_other_dtypes_are_refused(Communicator& world) {
  Tensor x({4}, DType::u16);
  EXPECT_THROW(world.all_reduce_sum({.what = "shorts"}, x.view()).wait(), Error);
  world.barrier({.what = "still usable"});
}

void all_to_all_hands_out(Communicator& world) {
  const int P = world.size(), me = world.rank();
  // Rank a sends b (a + 2 b) % 4 numbers.
  const auto count = [](int from, int to) {
    return static_cast<std::int64_t>((from + 2 * to) % 4);
  };
  std::vector<Tensor> out, in_;
  for (int r = 0; r < P; ++r) {
    out.emplace_back(Shape{count(me, r)}, DType::i32);
    in_.emplace_back(Shape{count(r, me)}, DType::i32);
    for (std::int64_t i = 0; i < count(me, r); ++i) {
      out.back().data<std::int32_t>()[i] = static_cast<std::int32_t>(me * 100 + r * 10 + i);
    }
  }
  std::vector<ConstView> send(out.begin(), out.end());
  std::vector<View> receive(in_.begin(), in_.end());
  world.all_to_all({.what = "heads"}, send, receive).wait();
  for (int r = 0; r < P; ++r) {
    for (std::int64_t i = 0; i < count(r, me); ++i) {
      ASSERT_EQ(in_[static_cast<std::size_t>(r)].data<std::int32_t>()[i], r * 100 + me * 10 + i);
    }
  }
}

void broadcast_from_each_root(Communicator& world) {
  for (int root = 0; root < world.size(); ++root) {
    Tensor x = filled<double>(world.rank(), {33});
    world.broadcast({.what = "weights"}, x, root).wait();
    for (std::int64_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(x.data<double>()[i], value<double>(root, i)) << root;
    }
  }
}

/// Each rank sends three messages of different sizes to the next and one to itself, named in mixed
/// order.
void exchange_keeps_the_order_between_two_ranks(Communicator& world) {
  const int P = world.size(), me = world.rank(), next = (me + 1) % P, previous = (me + P - 1) % P;
  std::vector<Tensor> out, in_;
  for (const std::int64_t n : {2, 0, 3, 1}) {
    out.push_back(filled<float>(me * 10 + static_cast<int>(n), {n}));
    in_.emplace_back(Shape{n});
  }
  const std::vector<Communicator::Send> sends = {
      {next, out[0]}, {me, out[3]}, {next, out[1]}, {next, out[2]}};
  const std::vector<Communicator::Receive> receives =
      P == 1
          ? std::vector<Communicator::Receive>{{0, in_[0]}, {0, in_[3]}, {0, in_[1]}, {0, in_[2]}}
          : std::vector<Communicator::Receive>{
                {me, in_[3]}, {previous, in_[0]}, {previous, in_[1]}, {previous, in_[2]}};
  world.exchange({.what = "halo", .layer = 1}, sends, receives).wait();
  for (std::size_t m = 0; m < in_.size(); ++m) {
    const std::int64_t n = in_[m].size();
    const int from = m == 3 ? me : previous;
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_EQ(in_[m].data<float>()[i], value<float>(from * 10 + static_cast<int>(n), i)) << m;
    }
  }
}

void scalars(Communicator& world) {
  const int P = world.size(), me = world.rank();
  double sum = 0.1;
  for (int r = 1; r < P; ++r) sum += 0.1 * (r + 1);
  EXPECT_EQ(world.all_reduce_sum({.what = "loss"}, 0.1 * (me + 1)), sum);
  EXPECT_EQ(world.all_reduce_max({.what = "flag"}, me == P / 2 ? 5.0 : -1.0), 5.0);
  EXPECT_EQ(world.all_reduce_max({.what = "below zero"}, -1.0 - me), -1.0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(world.all_reduce_max({.what = "nan"}, me == P - 1 ? nan : 1.0)));
  world.barrier({.what = "all here"});
}

/// Calls of two axes under way at once, waited for in another order on each rank. Those of two
/// steps hang when only the one that is waited for gets on.
void waits_come_in_any_order(Communicator& world) {
  const int P = world.size(), me = world.rank();
  const std::unique_ptr<Communicator> other = world.split(0, "other");
  for (int round = 0; round < 6; ++round) {
    std::vector<Tensor> x;
    std::vector<Pending> pending;
    for (int c = 0; c < 6; ++c) x.push_back(filled<float>(me + c, {50 + 13 * c}));
    for (int c = 0; c < 6; ++c) {
      Communicator& comm = c % 2 == 0 ? world : *other;
      View view = x[static_cast<std::size_t>(c)];
      pending.push_back(c == 4 ? comm.broadcast({.what = "b", .layer = c}, view, 0)
                               : comm.all_reduce_sum({.what = "s", .layer = c}, view));
    }
    for (int k = 0; k < 6; ++k) {
      const int step = me % 2 == 0 ? 1 : 5;
      pending[static_cast<std::size_t>((round + me + k * step) % 6)].wait();
    }
    for (int c = 0; c < 6; ++c) {
      const Tensor& t = x[static_cast<std::size_t>(c)];
      for (std::int64_t i = 0; i < t.size(); ++i) {
        float wanted = value<float>(c, i);
        for (int r = 1; r < P && c != 4; ++r) wanted += value<float>(r + c, i);
        ASSERT_TRUE(same_bits(t.data<float>()[i], wanted)) << round << " " << c << " " << i;
      }
    }
  }
}

/// Messages so large that neither side is done before the other takes part.
void large_messages_pass_each_other(Communicator& world) {
  const int P = world.size(), me = world.rank();
  const std::int64_t n = 300'000;
  Tensor sum = filled<float>(me, {n}), out = filled<float>(me + 50, {n}), in_({n});
  const std::vector<Communicator::Send> sends = {{(me + 1) % P, out}};
  const std::vector<Communicator::Receive> receives = {{(me + P - 1) % P, in_}};
  Pending reduced = world.all_reduce_sum({.what = "large"}, sum);
  Pending moved = world.exchange({.what = "large"}, sends, receives);
  if (me % 2 == 0) moved.wait();
  reduced.wait();
  moved.wait();
  for (std::int64_t i = 0; i < n; i += 7) {
    ASSERT_TRUE(same_bits(sum.data<float>()[i], sum_over_ranks<float>(P, i))) << i;
    ASSERT_EQ(in_.data<float>()[i], value<float>((me + P - 1) % P + 50, i)) << i;
  }
}

/// Calls of the rows and columns of a mesh and of the world interleave; each finds its own ranks.
void split_into_rows_and_columns(Communicator& world) {
  const int P = world.size(), me = world.rank();
  const int columns = P % 2 == 0 ? P / 2 : P;
  const auto row = world.split(me / columns, "row"), column = world.split(me % columns, "column");
  EXPECT_EQ(row->size(), columns);
  EXPECT_EQ(row->rank(), me % columns);
  EXPECT_EQ(column->size(), P / columns);
  EXPECT_EQ(column->rank(), me / columns);
  EXPECT_EQ(row->axis(), "row");
  Tensor a = filled<float>(me, {40}), b = filled<float>(me, {40}), c = filled<float>(me, {40});
  Pending in_row = row->all_reduce_sum({.what = "x"}, a),
          all = world.all_reduce_sum({.what = "x"}, c);
  Pending in_column = column->all_reduce_sum({.what = "x"}, b);
  in_column.wait();
  in_row.wait();
  all.wait();
  for (std::int64_t i = 0; i < 40; ++i) {
    float of_row = value<float>(me / columns * columns, i),
          of_column = value<float>(me % columns, i);
    for (int k = 1; k < columns; ++k) of_row += value<float>(me / columns * columns + k, i);
    for (int k = 1; k < P / columns; ++k) of_column += value<float>(me % columns + k * columns, i);
    ASSERT_TRUE(same_bits(a.data<float>()[i], of_row)) << i;
    ASSERT_TRUE(same_bits(b.data<float>()[i], of_column)) << i;
    ASSERT_TRUE(same_bits(c.data<float>()[i], sum_over_ranks<float>(P, i))) << i;
  }
  // Groups of groups, of which some ranks have made more than others.
  const auto again = row->rank() == 0 ? row->split(0, "more") : row->split(1, "more");
  const auto last = world.split(P - 1 - me, "alone");
  EXPECT_EQ(last->size(), 1);
  EXPECT_EQ(again->all_reduce_sum({.what = "n"}, 1.0), again->size());
  EXPECT_EQ(column->all_reduce_sum({.what = "n"}, 1.0), column->size());
  for (int i = 0; i < me; ++i) EXPECT_EQ(last->split(0, "own")->size(), 1);
  EXPECT_EQ(world.split(0, "all")->all_reduce_sum({.what = "n"}, 1.0), P);
}

void traffic_is_counted(Communicator& world) {
  const std::int64_t P = world.size(), me = world.rank();
  world.reset_traffic();
  const std::vector<Range> parts = growing_parts(world.size());
  const std::int64_t n = parts.back().end, own = me;  // rows of 4 bytes
  Tensor x({n}), y({10});
  world.all_gather({.what = "g", .layer = 3}, x, parts).wait();
  world.all_gather({.what = "g", .layer = 3}, x, parts).wait();
  world.reduce_scatter_sum({.what = "r"}, x, parts).wait();
  world.all_reduce_sum({.what = "a"}, y).wait();
  world.broadcast({.what = "b"}, y, 0).wait();
  const std::vector<Communicator::Send> sends = {{static_cast<int>((me + 1) % P), y}};
  const std::vector<Communicator::Receive> receives = {{static_cast<int>((me + P - 1) % P), y}};
  Tensor z({10});
  world.exchange({.what = "e"}, sends, std::vector<Communicator::Receive>{{receives[0].from, z}})
      .wait();
  world.all_reduce_sum({.what = "s"}, 1.0);
  world.barrier({.what = "w"});
  std::map<std::string, Traffic> found;
  for (const Traffic& t : world.traffic()) {
    EXPECT_EQ(t.axis, "world");
    EXPECT_GE(t.wait_seconds, 0);
    EXPECT_TRUE(found.emplace(t.operation, t).second) << t.operation;
  }
  if (P == 1) {
    EXPECT_TRUE(found.empty());
    return;
  }
  const std::int64_t shared = share(10, P, me).size();
  const std::map<std::string, std::int64_t> wanted = {
      {"all_gather", 2 * (P - 1) * own * 4},
      {"reduce_scatter_sum", (n - own) * 4},
      {"all_reduce_sum", (10 - shared) * 4 + (P - 1) * shared * 4},
      {"broadcast", me == 0 ? (P - 1) * 40 : 0},
      {"exchange", 40},
      {"scalar_sum", (P - 1) * 8},
      {"barrier", 0}};
  EXPECT_EQ(found.size(), wanted.size());
  for (const auto& [operation, bytes] : wanted) {
    EXPECT_EQ(found[operation].bytes_sent, bytes) << operation;
    EXPECT_EQ(found[operation].calls, operation == "all_gather" ? 2 : 1) << operation;
  }
  EXPECT_EQ(found["all_gather"].layer, 3);
  EXPECT_EQ(found["all_gather"].what, "g");
  world.reset_traffic();
  EXPECT_TRUE(world.traffic().empty());
}

void transfers_are_traced(Communicator& world) {
  Tracer tracer(world.rank(), 100);
  const auto cp = world.split(0, "cp");
  cp->trace(&tracer);
  Tensor x({8});
  cp->broadcast({.what = "halo", .layer = 3}, x, 0).wait();
  cp->all_reduce_sum({.what = "norm"}, x).wait();
  cp->trace(nullptr);
  cp->barrier({.what = "not traced"});
  const std::string json = tracer.json();
  EXPECT_EQ(tracer.events(), world.size() == 1 ? 0u : 4u) << json;
  if (world.size() == 1) return;
  for (const std::string name :
       {"\"cp halo layer 3\"", "\"wait cp halo layer 3\"", "\"cp norm\"", "\"wait cp norm\""}) {
    EXPECT_NE(json.find(name), std::string::npos) << name << json;
  }
}

}  // namespace

std::vector<CommunicatorBody> communicator_bodies() {
  return {{"AllGatherFillsX", all_gather_fills_x},
          {"ReduceScatterAddsInOrderOfRanks", reduce_scatter_adds_in_order_of_ranks},
          {"AllReduceAddsInOrderOfRanks", all_reduce_adds_in_order_of_ranks},
          {"TheOrderOfASumShows", the_order_of_a_sum_shows},
          {"SumsOfOtherDtypesAreRefused", sums_of_other_dtypes_are_refused},
          {"AllToAllHandsOut", all_to_all_hands_out},
          {"BroadcastFromEachRoot", broadcast_from_each_root},
          {"ExchangeKeepsTheOrderBetweenTwoRanks", exchange_keeps_the_order_between_two_ranks},
          {"Scalars", scalars},
          {"WaitsComeInAnyOrder", waits_come_in_any_order},
          {"LargeMessagesPassEachOther", large_messages_pass_each_other},
          {"SplitIntoRowsAndColumns", split_into_rows_and_columns},
          {"TrafficIsCounted", traffic_is_counted},
          {"TransfersAreTraced", transfers_are_traced}};
}

}  // namespace mixspan::test
