#include "tests/layers/split_attention.h"

#include <gtest/gtest.h>

#include "layers/context_attention.h"
#include "tests/kernels/attention_against_oracle.h"

namespace mixspan::test {

namespace {

constexpr std::int64_t kLayer = 7;

// Calls body(element of the held rows, element of the whole, elements) for each row (.., N, H) that
// `rank` holds. By position alone, so that it shares nothing with the layers' own copying.
template <class Body>
void for_each_held(const ConstView& held, const ConstView& whole, const SequenceLayout& layout,
                   int rank, Body&& body) {
  const std::int64_t row_size = whole.size() / (whole.dim(0) * whole.dim(1));
  for (std::int64_t b = 0; b < whole.dim(0); ++b) {
    for (std::int64_t row = 0; row < layout.rows(rank); ++row) {
      body(b * held.stride(0) + row * held.stride(1),
           b * whole.stride(0) + layout.position(rank, row) * whole.stride(1), row_size);
    }
  }
}

template <class T>
void take(View held, const ConstView& whole, const SequenceLayout& layout, int rank) {
  for_each_held(held, whole, layout, rank, [&](auto to, auto from, auto n) {
    std::copy_n(whole.data<T>() + from, n, held.data<T>() + to);
  });
}

void put(View whole, const ConstView& held, const SequenceLayout& layout, int rank) {
  for_each_held(held, whole, layout, rank, [&](auto from, auto to, auto n) {
    std::copy_n(held.data<float>() + from, n, whole.data<float>() + to);
  });
}

// Queries, keys and values, or their gradients, in rows (B, held, 3, N, H).
struct PackedRows {
  PackedRows(const Shape& whole, std::int64_t held)
      : rows(poisoned_tensor({whole[0], held, 3, whole[2], whole[3]})) {}
  View part(int i) { return rows.view().select(2, i); }
  Tensor rows;
};

// What a communicator counted for `layer`; -1: whatever belongs to none.
std::int64_t bytes_of_layer(const Communicator& comm, std::int64_t layer) {
  std::int64_t bytes = 0;
  for (const Traffic& t : comm.traffic()) bytes += t.layer == layer ? t.bytes_sent : 0;
  return bytes;
}

std::int64_t take_count(Communicator& cp) {
  EXPECT_EQ(bytes_of_layer(cp, -1), 0);
  const std::int64_t bytes = bytes_of_layer(cp, kLayer);
  cp.reset_traffic();
  return bytes;
}

// One rank's part; puts its rows into `result`.
ExchangeBytes run_rank(const AttentionTensors& whole, const SequenceLayout& layout,
                       const SplitAttention& a, Communicator& cp, SplitResult& result) {
  const Shape& s = whole.q.shape();
  const std::int64_t held = layout.rows(cp.rank());
  PackedRows in(s, held), out(s, held);
  Tensor d_o({s[0], held, s[2], s[3]}), start({s[0], held}, DType::i32);
  const ConstView inputs[] = {whole.q, whole.k, whole.v};
  for (int i = 0; i < 3; ++i) take<float>(in.part(i), inputs[i], layout, cp.rank());
  take<float>(d_o, whole.do_, layout, cp.rank());
  const bool packed = !a.document_start.empty();
  if (packed) take<std::int32_t>(start, a.document_start, layout, cp.rank());

  TestExec test(1);
  Exec ex = test.exec();
  if (!a.tracers.empty()) ex.tracer = a.tracers[static_cast<std::size_t>(cp.rank())].get();
  cp.trace(ex.tracer);
  const SequenceSplit split{cp, layout, a.document_start};
  const ContextAttention c{
      ex, split, packed ? start.view() : ConstView(), a.span, scale_for(s[3]), a.transport, kLayer,
  };
  Arena kept("kept");
  kept.poison(true);
  Saved saved(&kept, Recompute::none);
  Tensor o = poisoned_tensor(d_o.shape()), lse = poisoned_tensor({s[0], s[2], held});
  ExchangeBytes moved;
  cp.barrier({"start"});
  c.forward(o, lse, in.part(0), in.part(1), in.part(2), saved);
  moved.forward = take_count(cp);
  c.backward(out.part(0), out.part(1), out.part(2), d_o, in.part(0), in.part(1), in.part(2), o, lse,
             saved);
  moved.backward = take_count(cp);

  put(result.o, o, layout, cp.rank());
  put(result.dq, out.part(0), layout, cp.rank());
  put(result.dk, out.part(1), layout, cp.rank());
  put(result.dv, out.part(2), layout, cp.rank());
  return moved;
}

}  // namespace

SplitResult run_split(const AttentionTensors& whole, const SequenceLayout& layout,
                      const SplitAttention& a, const ThreadRankOptions& options) {
  const Shape& s = whole.q.shape();
  SplitResult result{poisoned_tensor(s), poisoned_tensor(s), poisoned_tensor(s), poisoned_tensor(s),
                     std::vector<ExchangeBytes>(static_cast<std::size_t>(layout.ranks()))};
  run_thread_ranks(layout.ranks(), options, [&](std::unique_ptr<Communicator> world) {
    const std::unique_ptr<Communicator> cp = world->split(0, "cp");
    result.moved[static_cast<std::size_t>(cp->rank())] = run_rank(whole, layout, a, *cp, result);
  });
  return result;
}

}  // namespace mixspan::test
