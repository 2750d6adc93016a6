// Every rank gets the keys and values of the whole sequence. The plain fallback: its memory grows
// with the sequence, and nothing hides the exchange.
#include "layers/context_rows.h"

namespace mixspan::gathered_attention {

namespace {

using namespace context;

// Keys and values, or their gradients, of all positions.
struct Whole {
  View k, v;  // (B, T, N, H)
};

Whole make_whole(const ContextAttention& c, const ConstView& k) {
  const Shape shape{k.dim(0), c.split.layout.T(), k.dim(2), k.dim(3)};
  return {c.ex.scratch.allocate("all keys", shape, k.dtype()),
          c.ex.scratch.allocate("all values", shape, k.dtype())};
}

// (T, 2 * B * N * H): the parts of all ranks, one behind the other.
View make_message(const ContextAttention& c, const ConstView& k) {
  return c.ex.scratch.allocate("gathered", {c.split.layout.T(), 2 * k.dim(0) * k.dim(2) * k.dim(3)},
                               k.dtype());
}

std::vector<Range> parts_of(const SequenceLayout& layout) {
  std::vector<Range> parts;
  std::int64_t at = 0;
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    parts.push_back({at, at + layout.rows(rank)});
    at = parts.back().end;
  }
  return parts;
}

// The keys (which = 0) or values (1) of one rank's part: (B, its rows, N, H).
View tensor_of(const View& message, Range part, int which, const ConstView& k) {
  return message.slice(0, part.begin, part.end)
      .reshape({2, k.dim(0), part.size(), k.dim(2), k.dim(3)})
      .select(0, which);
}

// Calls body(part of the message, chunk) for every chunk of every rank.
template <class Body>
void for_each_chunk(const SequenceLayout& layout, Body&& body) {
  const std::vector<Range> parts = parts_of(layout);
  for (int rank = 0; rank < layout.ranks(); ++rank) {
    for (const Chunk& chunk : chunks_of(layout, rank)) {
      body(parts[static_cast<std::size_t>(rank)], chunk);
    }
  }
}

Whole gather(const ContextAttention& c, const ConstView& k, const ConstView& v) {
  const Whole whole = make_whole(c, k);
  const Arena::Scope scope(c.ex.scratch);
  const View message = make_message(c, k);
  const std::vector<Range> parts = parts_of(c.split.layout);
  const Range mine = parts[static_cast<std::size_t>(c.rank())];
  copy_rows(c.ex, tensor_of(message, mine, 0, k), k);
  copy_rows(c.ex, tensor_of(message, mine, 1, k), v);
  c.split.cp.all_gather({"gathered keys", c.layer}, message, parts).wait();
  for_each_chunk(c.split.layout, [&](Range part, const Chunk& chunk) {
    const View keys = tensor_of(message, part, 0, k), values = tensor_of(message, part, 1, k);
    copy_rows(c.ex, rows_of(whole.k, chunk.positions), rows_of(keys, chunk.rows));
    copy_rows(c.ex, rows_of(whole.v, chunk.positions), rows_of(values, chunk.rows));
  });
  return whole;
}

// The keys that a chunk's queries may read.
Range keys_of(const ContextAttention& c, const Chunk& chunk) {
  return {c.span.lo(chunk.positions.begin), chunk.positions.end};
}

}  // namespace

void forward(const ContextAttention& c, View o, View lse, ConstView q, ConstView k, ConstView v) {
  const Arena::Scope scope(c.ex.scratch);
  const Whole whole = gather(c, k, v);
  for (const Chunk& chunk : chunks_of(c.split.layout, c.rank())) {
    const Range keys = keys_of(c, chunk);
    attend(c, {chunk.rows, chunk.positions.begin, keys.begin}, o, lse, q, rows_of(whole.k, keys),
           rows_of(whole.v, keys));
  }
}

void backward(const ContextAttention& c, View dq, View dk, View dv, ConstView do_, ConstView q,
              ConstView k, ConstView v, ConstView o, ConstView lse) {
  const Arena::Scope scope(c.ex.scratch);
  const Upstream up{do_, q, o, lse};
  const Whole whole = gather(c, k, v), sums = make_whole(c, k);
  clear_rows(c.ex, sums.k);
  clear_rows(c.ex, sums.v);
  for (const Chunk& chunk : chunks_of(c.split.layout, c.rank())) {
    const Arena::Scope chunk_scope(c.ex.scratch);
    const Range keys = keys_of(c, chunk);
    const View k_sum = rows_of(sums.k, keys), v_sum = rows_of(sums.v, keys);
    const View d_keys = c.ex.scratch.allocate("partial dk", k_sum.shape(), k_sum.dtype());
    const View d_values = c.ex.scratch.allocate("partial dv", v_sum.shape(), v_sum.dtype());
    attend_backward(c, {chunk.rows, chunk.positions.begin, keys.begin}, dq, d_keys, d_values, up,
                    rows_of(whole.k, keys), rows_of(whole.v, keys));
    add_rows(c.ex, k_sum, d_keys);
    add_rows(c.ex, v_sum, d_values);
  }
  const View message = make_message(c, k);
  for_each_chunk(c.split.layout, [&](Range part, const Chunk& chunk) {
    const View keys = tensor_of(message, part, 0, k), values = tensor_of(message, part, 1, k);
    copy_rows(c.ex, rows_of(keys, chunk.rows), rows_of(sums.k, chunk.positions));
    copy_rows(c.ex, rows_of(values, chunk.rows), rows_of(sums.v, chunk.positions));
  });
  const std::vector<Range> parts = parts_of(c.split.layout);
  c.split.cp.reduce_scatter_sum({"gathered gradients", c.layer}, message, parts).wait();
  const Range mine = parts[static_cast<std::size_t>(c.rank())];
  copy_rows(c.ex, dk, tensor_of(message, mine, 0, k));
  copy_rows(c.ex, dv, tensor_of(message, mine, 1, k));
}

}  // namespace mixspan::gathered_attention
