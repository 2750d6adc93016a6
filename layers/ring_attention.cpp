// The keys and values of every rank pass every other rank, a neighbour at a time. Liu et al. 2023
// (arXiv:2310.01889). While one block is worked on the next one is on its way. In backward the
// gradients of a block follow it around and come home last.
#include "layers/context_rows.h"

namespace mixspan::ring_attention {

namespace {

using namespace context;

// The keys and values, or their gradients, of one rank: (2, B, rows, N, H).
struct Block {
  int owner;
  View buffer;
  View keys() const { return buffer.select(0, 0); }
  View values() const { return buffer.select(0, 1); }
};

class Ring {
 public:
  Ring(const ContextAttention& c, const ConstView& k) : c_(c), like_(k) {}

  int next() const { return (c_.rank() + 1) % c_.ranks(); }
  int previous() const { return (c_.rank() + c_.ranks() - 1) % c_.ranks(); }
  /// Whose block this rank works on at step t.
  int owner(int t) const { return (c_.rank() - t + c_.ranks()) % c_.ranks(); }

  /// Room for the block of any rank.
  View room(const char* label) const {
    return c_.ex.scratch.allocate(label, shape(c_.split.layout.most_rows()), like_.dtype());
  }
  Block block(int owner, View room) const {
    const std::int64_t rows = c_.split.layout.rows(owner);
    const Shape s = shape(rows);
    return {owner, View(room.raw(), room.dtype(), s)};
  }

  Pending pass(const char* what, const Block* out, const Block* in) const {
    std::vector<Communicator::Send> sends;
    std::vector<Communicator::Receive> receives;
    if (out != nullptr) sends.push_back({next(), out->buffer});
    if (in != nullptr) receives.push_back({previous(), in->buffer});
    return c_.split.cp.exchange({what, c_.layer}, sends, receives);
  }

  /// Calls body(rectangle, key rows of the block) for each chunk of queries and each chunk of keys
  /// of `owner` that it may read, the latest keys first: of this rank's own the queries' chunk.
  template <class Body>
  void for_each_rectangle(int owner, Body&& body) const {
    for (const Chunk& queries : chunks_of(c_.split.layout, c_.rank())) {
      const std::vector<Chunk> chunks = chunks_of(c_.split.layout, owner);
      for (auto chunk = chunks.rbegin(); chunk != chunks.rend(); ++chunk) {
        const Chunk& keys = *chunk;
        if (keys.positions.begin >= queries.positions.end) continue;
        if (c_.span.lo(queries.positions.begin) >= keys.positions.end) continue;
        body(Rectangle{queries.rows, queries.positions.begin, keys.positions.begin}, keys.rows);
      }
    }
  }

 private:
  Shape shape(std::int64_t rows) const {
    return {2, like_.dim(0), rows, like_.dim(2), like_.dim(3)};
  }
  const ContextAttention& c_;
  ConstView like_;
};

}  // namespace

void forward(const ContextAttention& c, View o, View lse, ConstView q, ConstView k, ConstView v) {
  const Arena::Scope scope(c.ex.scratch);
  const Ring ring(c, k);
  View here = ring.room("ring block"), coming = ring.room("ring block");
  Block block = ring.block(c.rank(), here);
  copy_rows(c.ex, block.keys(), k);
  copy_rows(c.ex, block.values(), v);
  for (int t = 0; t < c.ranks(); ++t) {
    Pending arrival;
    Block incoming{};
    if (t + 1 < c.ranks()) {
      incoming = ring.block(ring.owner(t + 1), coming);
      arrival = ring.pass("ring", &block, &incoming);
    }
    ring.for_each_rectangle(block.owner, [&](const Rectangle& r, Range keys) {
      // A query's own chunk comes first of all; the others are merged into what that gave.
      const bool own = t == 0 && r.first_query == r.first_key;
      (own ? attend : attend_more)(c, r, o, lse, q, rows_of(block.keys(), keys),
                                   rows_of(block.values(), keys));
    });
    arrival.wait();
    block = incoming;
    std::swap(here, coming);
  }
}

namespace {

// Overwrites the gradients of a block's keys and values with those from this rank's queries; adds
// to dq.
void block_backward(const ContextAttention& c, const Ring& ring, const Block& block, View dq,
                    View dk, View dv, const Upstream& up) {
  const Arena::Scope scope(c.ex.scratch);
  clear_rows(c.ex, dk);
  clear_rows(c.ex, dv);
  ring.for_each_rectangle(block.owner, [&](const Rectangle& r, Range keys) {
    const Arena::Scope rectangle_scope(c.ex.scratch);
    const View k_sum = rows_of(dk, keys), v_sum = rows_of(dv, keys);
    const View d_keys = c.ex.scratch.allocate("partial dk", k_sum.shape(), k_sum.dtype());
    const View d_values = c.ex.scratch.allocate("partial dv", v_sum.shape(), v_sum.dtype());
    attend_backward_more(c, r, dq, d_keys, d_values, up, rows_of(block.keys(), keys),
                         rows_of(block.values(), keys));
    add_rows(c.ex, k_sum, d_keys);
    add_rows(c.ex, v_sum, d_values);
  });
}

}  // namespace

void backward(const ContextAttention& c, View dq, View dk, View dv, ConstView do_, ConstView q,
              ConstView k, ConstView v, ConstView o, ConstView lse) {
  const Arena::Scope scope(c.ex.scratch);
  const Upstream up{do_, q, o, lse};
  const Ring ring(c, k);
  View here = ring.room("ring block"), coming = ring.room("ring block");
  View sum_here = ring.room("ring gradients"), sum_coming = ring.room("ring gradients");
  const View part = ring.room("ring gradients");
  clear_rows(c.ex, dq);
  Block block = ring.block(c.rank(), here);
  copy_rows(c.ex, block.keys(), k);
  copy_rows(c.ex, block.values(), v);
  Pending sums;  // of the step before, on their way
  for (int t = 0; t < c.ranks(); ++t) {
    Pending arrival;
    Block incoming{};
    if (t + 1 < c.ranks()) {
      incoming = ring.block(ring.owner(t + 1), coming);
      arrival = ring.pass("ring", &block, &incoming);
    }
    if (t == 0) {
      block_backward(c, ring, block, dq, dk, dv, up);
    } else {
      const Block sum = ring.block(block.owner, sum_here);
      if (t == 1) {  // nothing has come: this rank is the first that the block visits
        block_backward(c, ring, block, dq, sum.keys(), sum.values(), up);
      } else {
        const Block own = ring.block(block.owner, part);
        block_backward(c, ring, block, dq, own.keys(), own.values(), up);
        sums.wait();
        add_rows(c.ex, sum.keys(), own.keys());
        add_rows(c.ex, sum.values(), own.values());
      }
      const Block next_sum =
          ring.block(t + 1 < c.ranks() ? ring.owner(t + 1) : c.rank(), sum_coming);
      sums = ring.pass("ring gradients", &sum, &next_sum);
      std::swap(sum_here, sum_coming);
    }
    arrival.wait();
    block = incoming;
    std::swap(here, coming);
  }
  sums.wait();
  if (c.ranks() == 1) return;
  const Block home = ring.block(c.rank(), sum_here);
  add_rows(c.ex, dk, home.keys());
  add_rows(c.ex, dv, home.values());
}

}  // namespace mixspan::ring_attention
