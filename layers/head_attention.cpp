// Every rank gets all positions of some heads, and gives its positions of the others. Jacobs et al.
// 2023 (DeepSpeed Ulysses, arXiv:2309.14509). Forward keeps what it gathered, so that backward
// moves no more than forward did.
#include "layers/context_rows.h"
#include "parallel/shares.h"

namespace mixspan::head_attention {

namespace {

using namespace context;

// Moves tensors between (B, held, N, H), this rank's rows, and (B, T, its heads, H). All tensors of
// a call travel in one message for each pair of ranks.
class HeadExchange {
 public:
  HeadExchange(const ContextAttention& c, std::int64_t N) : c_(c), heads_(shares(N, c.ranks())) {}

  Range mine() const { return heads_[static_cast<std::size_t>(c_.rank())]; }

  void to_heads(const char* what, std::span<const ConstView> rows,
                std::span<const View> heads) const {
    const Arena::Scope scope(c_.ex.scratch);
    const Mail mail = make_mail(rows[0], rows.size());
    for (int rank = 0; rank < c_.ranks(); ++rank) {
      const Range theirs = heads_[static_cast<std::size_t>(rank)];
      for (std::size_t i = 0; i < rows.size(); ++i) {
        copy_rows(c_.ex, tensor(mail.rows, rank, i), rows[i].slice(2, theirs.begin, theirs.end));
      }
    }
    exchange(what, mail.rows, mail.heads);
    for_each_chunk([&](int rank, const Chunk& chunk) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        copy_rows(c_.ex, rows_of(heads[i], chunk.positions),
                  rows_of(tensor(mail.heads, rank, i), chunk.rows));
      }
    });
  }

  void to_rows(const char* what, std::span<const ConstView> heads,
               std::span<const View> rows) const {
    const Arena::Scope scope(c_.ex.scratch);
    const Mail mail = make_mail(rows[0], rows.size());
    for_each_chunk([&](int rank, const Chunk& chunk) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        copy_rows(c_.ex, rows_of(tensor(mail.heads, rank, i), chunk.rows),
                  rows_of(heads[i], chunk.positions));
      }
    });
    exchange(what, mail.heads, mail.rows);
    for (int rank = 0; rank < c_.ranks(); ++rank) {
      const Range theirs = heads_[static_cast<std::size_t>(rank)];
      for (std::size_t i = 0; i < rows.size(); ++i) {
        copy_rows(c_.ex, rows[i].slice(2, theirs.begin, theirs.end), tensor(mail.rows, rank, i));
      }
    }
  }

 private:
  // For each rank: this rank's rows of the other's heads, and the other's rows of this rank's
  // heads; both (tensors, B, rows, heads, H).
  struct Mail {
    std::vector<View> rows, heads;
  };
  Mail make_mail(const ConstView& rows, std::size_t tensors) const {
    const auto make = [&](std::int64_t count, Range heads) {
      return c_.ex.scratch.allocate(
          "heads on their way",
          {static_cast<std::int64_t>(tensors), rows.dim(0), count, heads.size(), rows.dim(3)},
          rows.dtype());
    };
    Mail mail;
    for (int rank = 0; rank < c_.ranks(); ++rank) {
      mail.rows.push_back(make(rows.dim(1), heads_[static_cast<std::size_t>(rank)]));
      mail.heads.push_back(make(c_.split.layout.rows(rank), mine()));
    }
    return mail;
  }
  static View tensor(const std::vector<View>& mail, int rank, std::size_t i) {
    return mail[static_cast<std::size_t>(rank)].select(0, static_cast<std::int64_t>(i));
  }
  template <class Body>
  void for_each_chunk(Body&& body) const {
    for (int rank = 0; rank < c_.ranks(); ++rank) {
      for (const Chunk& chunk : chunks_of(c_.split.layout, rank)) body(rank, chunk);
    }
  }
  void exchange(const char* what, const std::vector<View>& out, const std::vector<View>& in) const {
    const std::vector<ConstView> send(out.begin(), out.end());
    c_.split.cp.all_to_all({what, c_.layer}, send, in).wait();
  }

  const ContextAttention& c_;
  std::vector<Range> heads_;
};

AttentionRule whole_rule(const ContextAttention& c) {
  return {c.span, c.scale, c.split.where_the_model_lies()};
}

}  // namespace

void forward(const ContextAttention& c, View o, ConstView q, ConstView k, ConstView v,
             Saved& saved) {
  const HeadExchange exchange(c, q.dim(2));
  const std::int64_t B = q.dim(0), T = c.split.layout.T(), n = exchange.mine().size();
  const Shape shape{B, T, n, q.dim(3)};
  const auto make = [&](const char* name) {
    return saved.make(c.ex, name, shape, Rebuild::dearest);
  };
  const View hq = make("heads q"), hk = make("heads k"), hv = make("heads v"),
             ho = make("heads out");
  const View h_lse = saved.make_as(c.ex, "heads lse", {B, n, T}, DType::f32, Rebuild::dearest);
  const ConstView rows[] = {q, k, v};
  const View heads[] = {hq, hk, hv};
  exchange.to_heads("queries, keys and values of heads", rows, heads);
  if (n > 0) attention_forward(c.ex, ho, h_lse, hq, hk, hv, whole_rule(c));
  const ConstView out[] = {ho};
  exchange.to_rows("attention of heads", out, std::span(&o, 1));
}

void backward(const ContextAttention& c, View dq, View dk, View dv, ConstView do_,
              const Saved& saved) {
  const Arena::Scope scope(c.ex.scratch);
  const View hq = saved.get("heads q"), hk = saved.get("heads k"), hv = saved.get("heads v"),
             ho = saved.get("heads out");
  const HeadExchange exchange(c, do_.dim(2));
  const View hd = c.ex.scratch.allocate("d heads out", ho.shape(), ho.dtype());
  const View hdq = c.ex.scratch.allocate("d heads q", ho.shape(), ho.dtype()),
             hdk = c.ex.scratch.allocate("d heads k", ho.shape(), ho.dtype()),
             hdv = c.ex.scratch.allocate("d heads v", ho.shape(), ho.dtype());
  const View d_out[] = {hd};
  exchange.to_heads("gradients of heads", std::span(&do_, 1), d_out);
  if (exchange.mine().size() > 0) {
    attention_backward(c.ex, hdq, hdk, hdv, hd, hq, hk, hv, ho, saved.get("heads lse"),
                       whole_rule(c));
  }
  const ConstView heads[] = {hdq, hdk, hdv};
  const View rows[] = {dq, dk, dv};
  exchange.to_rows("gradients of queries, keys and values", heads, rows);
}

}  // namespace mixspan::head_attention
