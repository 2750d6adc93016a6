// Each chunk's queries read the chunk's own keys and a halo of those before it. Rows whose keys all
// lie in the chunk (the interior) are computed while the halo is on its way; in backward the rows
// that read the halo (the boundary) come first, and its gradients travel during the interior.
#include <fmt/format.h>

#include "layers/context_rows.h"

namespace mixspan::halo_attention {

namespace {

using namespace context;

// A chunk with its halo.
struct HaloChunk {
  Chunk chunk;
  std::int64_t halo;  // rows
  std::int64_t edge;  // position of the first query that reads no halo
  std::int64_t boundary() const { return edge - chunk.positions.begin; }
  std::int64_t first_key() const { return chunk.positions.begin - halo; }
  // The chunk's first rows, of which there are boundary().
  Range boundary_rows() const { return {chunk.rows.begin, chunk.rows.begin + boundary()}; }
  Rectangle boundary_rectangle() const {
    return {boundary_rows(), chunk.positions.begin, first_key()};
  }
  Rectangle interior_rectangle() const {
    return {{chunk.rows.begin + boundary(), chunk.rows.end}, edge, chunk.positions.begin};
  }
};

std::int64_t edge_of(const ContextAttention& c, const Chunk& chunk) {
  const auto reads_halo = [&](std::int64_t i) {
    if (c.span.lo(i) >= chunk.positions.begin) return false;
    const ConstView& starts = c.split.document_start;
    if (starts.empty()) return true;
    for (std::int64_t b = 0; b < starts.dim(0); ++b) {
      const std::int32_t start = starts.data<std::int32_t>()[b * starts.stride(0) + i];
      if (start < chunk.positions.begin) return true;
    }
    return false;
  };
  std::int64_t edge = chunk.positions.begin;
  while (edge < chunk.positions.end && reads_halo(edge)) ++edge;
  return edge;
}

std::vector<HaloChunk> halo_chunks(const ContextAttention& c, const HaloPlan& plan) {
  std::vector<HaloChunk> all;
  for (const Chunk& chunk : chunks_of(c.split.layout, c.rank())) {
    const std::int64_t halo = plan.halos(c.rank())[all.size()].positions.size();
    all.push_back({chunk, halo, halo == 0 ? chunk.positions.begin : edge_of(c, chunk)});
  }
  return all;
}

// What one message carries: (2, B, rows, N, H), keys and values or their gradients.
struct Mail {
  HaloMessage message;
  View buffer;
};

class Exchange {
 public:
  // In c.ex.scratch; `like`: keys.
  Exchange(const ContextAttention& c, const HaloPlan& plan, ConstView like)
      : c_(c),
        plan_(plan),
        like_(like),
        sends_(mails(plan.sends(c.rank()))),
        receives_(mails(plan.receives(c.rank()))) {
    if (const HaloMessage own = plan.message(c.rank(), c.rank()); own.rows() > 0) {
      own_ = {own, c.ex.scratch.allocate("halo", shape(own), like.dtype())};
    }
  }

  // Sends rows of k and v to whom they are halo.
  Pending post_keys(ConstView k, ConstView v) {
    for (const Mail& mail : own_and(sends_)) {
      for_each_part(mail, [&](const HaloMessage::Part& part, View keys, View values) {
        copy_rows(c_.ex, keys, rows_of(k, part.rows));
        copy_rows(c_.ex, values, rows_of(v, part.rows));
      });
    }
    return post("halo", sends_, receives_);
  }
  // What has come, into the halos: (B, halo + boundary, N, H) of each chunk.
  void fill_halos(std::span<const View> k, std::span<const View> v) const {
    for (const Mail& mail : own_and(receives_)) {
      for_each_part(mail, [&](const HaloMessage::Part& part, ConstView keys, ConstView values) {
        const auto chunk = static_cast<std::size_t>(part.chunk);
        copy_rows(c_.ex, rows_of(k[chunk], part.halo_rows), keys);
        copy_rows(c_.ex, rows_of(v[chunk], part.halo_rows), values);
      });
    }
  }
  // Sends the gradients of the halos home.
  Pending post_gradients(std::span<const View> dk, std::span<const View> dv) {
    for (const Mail& mail : own_and(receives_)) {
      for_each_part(mail, [&](const HaloMessage::Part& part, View keys, View values) {
        const auto chunk = static_cast<std::size_t>(part.chunk);
        copy_rows(c_.ex, keys, rows_of(dk[chunk], part.halo_rows));
        copy_rows(c_.ex, values, rows_of(dv[chunk], part.halo_rows));
      });
    }
    return post("halo gradients", receives_, sends_);
  }
  // Adds what has come home, in the order of the ranks it comes from, the rank's own first.
  void add_gradients(View dk, View dv) const {
    for (const Mail& mail : own_and(sends_)) {
      for_each_part(mail, [&](const HaloMessage::Part& part, ConstView keys, ConstView values) {
        add_rows(c_.ex, rows_of(dk, part.rows), keys);
        add_rows(c_.ex, rows_of(dv, part.rows), values);
      });
    }
  }

 private:
  Shape shape(const HaloMessage& m) const {
    return {2, like_.dim(0), m.rows(), like_.dim(2), like_.dim(3)};
  }
  std::vector<Mail> mails(const std::vector<HaloMessage>& messages) const {
    std::vector<Mail> all;
    for (const HaloMessage& m : messages)
      all.push_back({m, c_.ex.scratch.allocate("halo", shape(m), like_.dtype())});
    return all;
  }
  std::vector<Mail> own_and(const std::vector<Mail>& others) const {
    std::vector<Mail> all;
    if (!own_.message.parts.empty()) all.push_back(own_);
    all.insert(all.end(), others.begin(), others.end());
    return all;
  }
  template <class Body>
  static void for_each_part(const Mail& mail, Body&& body) {
    std::int64_t at = 0;
    for (const HaloMessage::Part& part : mail.message.parts) {
      const Range rows{at, at + part.rows.size()};
      body(part, rows_of(mail.buffer.select(0, 0), rows), rows_of(mail.buffer.select(0, 1), rows));
      at = rows.end;
    }
  }
  // `outgoing` go to the other end of each message, `incoming` come from it.
  Pending post(const char* what, const std::vector<Mail>& outgoing,
               const std::vector<Mail>& incoming) const {
    std::vector<Communicator::Send> sends;
    std::vector<Communicator::Receive> receives;
    const auto peer = [&](const Mail& m) {
      return m.message.from == c_.rank() ? m.message.to : m.message.from;
    };
    for (const Mail& m : outgoing) sends.push_back({peer(m), m.buffer});
    for (const Mail& m : incoming) receives.push_back({peer(m), m.buffer});
    if (plan_.moves_nothing()) return {};  // on every rank
    return c_.split.cp.exchange({what, c_.layer}, sends, receives);
  }

  const ContextAttention& c_;
  const HaloPlan& plan_;
  ConstView like_;
  std::vector<Mail> sends_, receives_;
  Mail own_{};
};

struct Halo {
  std::vector<View> k, v;  // (B, halo + boundary, N, H) of each chunk; empty without a halo
};

std::string halo_name(std::size_t chunk, const char* part) {
  return fmt::format("halo {} {}", part, chunk);
}

// The queries of the boundary read the halo and the chunk's keys up to their own.
void add_boundary_keys(const ContextAttention& c, const HaloChunk& h, View ext, ConstView keys) {
  copy_rows(c.ex, rows_of(ext, {h.halo, h.halo + h.boundary()}), rows_of(keys, h.boundary_rows()));
}

Shape halo_shape(const HaloChunk& h, const ConstView& k) {
  return {k.dim(0), h.halo + h.boundary(), k.dim(2), k.dim(3)};
}

Halo make_halos(const ContextAttention& c, const std::vector<HaloChunk>& chunks, const ConstView& k,
                Saved& saved) {
  Halo halo;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    halo.k.emplace_back();
    halo.v.emplace_back();
    if (chunks[i].halo == 0) continue;
    halo.k[i] = saved.make(c.ex, halo_name(i, "keys"), halo_shape(chunks[i], k), Rebuild::dearest);
    halo.v[i] =
        saved.make(c.ex, halo_name(i, "values"), halo_shape(chunks[i], k), Rebuild::dearest);
  }
  return halo;
}

}  // namespace

void forward(const ContextAttention& c, View o, View lse, ConstView q, ConstView k, ConstView v,
             Saved& saved) {
  const HaloPlan plan(c.span, c.split.layout, c.split.document_start);
  const std::vector<HaloChunk> chunks = halo_chunks(c, plan);
  const Halo halo = make_halos(c, chunks, k, saved);
  const Arena::Scope scope(c.ex.scratch);  // after what is kept
  Exchange exchange(c, plan, k);
  Pending halos = exchange.post_keys(k, v);
  for (const HaloChunk& h : chunks) {
    attend(c, h.interior_rectangle(), o, lse, q, rows_of(k, h.chunk.rows),
           rows_of(v, h.chunk.rows));
  }
  halos.wait();
  exchange.fill_halos(halo.k, halo.v);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (chunks[i].halo == 0) continue;
    add_boundary_keys(c, chunks[i], halo.k[i], k);
    add_boundary_keys(c, chunks[i], halo.v[i], v);
    attend(c, chunks[i].boundary_rectangle(), o, lse, q, halo.k[i], halo.v[i]);
  }
}

void backward(const ContextAttention& c, View dq, View dk, View dv, ConstView do_, ConstView q,
              ConstView k, ConstView v, ConstView o, ConstView lse, const Saved& saved) {
  const Arena::Scope scope(c.ex.scratch);
  const Upstream up{do_, q, o, lse};
  const HaloPlan plan(c.span, c.split.layout, c.split.document_start);
  const std::vector<HaloChunk> chunks = halo_chunks(c, plan);
  Exchange exchange(c, plan, k);
  Halo d;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    d.k.emplace_back();
    d.v.emplace_back();
    if (chunks[i].halo == 0) continue;
    d.k[i] = c.ex.scratch.allocate("halo gradients", halo_shape(chunks[i], k), k.dtype());
    d.v[i] = c.ex.scratch.allocate("halo gradients", halo_shape(chunks[i], k), k.dtype());
    attend_backward(c, chunks[i].boundary_rectangle(), dq, d.k[i], d.v[i], up,
                    saved.get(halo_name(i, "keys")), saved.get(halo_name(i, "values")));
  }
  Pending home = exchange.post_gradients(d.k, d.v);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const HaloChunk& h = chunks[i];
    attend_backward(c, h.interior_rectangle(), dq, rows_of(dk, h.chunk.rows),
                    rows_of(dv, h.chunk.rows), up, rows_of(k, h.chunk.rows),
                    rows_of(v, h.chunk.rows));
    if (h.halo == 0) continue;
    const Range own{h.halo, h.halo + h.boundary()};
    add_rows(c.ex, rows_of(dk, h.boundary_rows()), rows_of(d.k[i], own));
    add_rows(c.ex, rows_of(dv, h.boundary_rows()), rows_of(d.v[i], own));
  }
  home.wait();
  exchange.add_gradients(dk, dv);
}

}  // namespace mixspan::halo_attention
