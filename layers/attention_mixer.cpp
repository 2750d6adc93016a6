#include "layers/attention_mixer.h"

#include <algorithm>

#include "kernels/attention.h"
#include "kernels/copy_rows.h"
#include "kernels/matmul.h"
#include "kernels/positions.h"

namespace mixspan {

namespace {

// q, k or v out of packed rows (B * T, 3C): a strided (B, T, N, H) view, no copy.
View part_of_qkv(View qkv, int part, const Sequence& s, std::int64_t heads) {
  const std::int64_t head_size = qkv.dim(1) / 3 / heads;
  return qkv.reshape({s.B, s.T, 3, heads, head_size}).select(2, part);
}

View as_heads(View x_RC, const Sequence& s, std::int64_t heads) {
  return x_RC.reshape({s.B, s.T, heads, x_RC.dim(1) / heads});
}

// Keys and values of the positions a query can still reach. Row position % rows holds the
// position's key, so a span shorter than the text needs only the span's rows.
class KeyValueRing final : public MixerState {
 public:
  KeyValueRing(const Exec& ex, Shape shape)  // (B, rows, heads, head size)
      : k(shape, storage_dtype(ex), ex.device),
        v(shape, storage_dtype(ex), ex.device),
        visible({shape[1]}, DType::u8, ex.device) {}
  std::size_t size_bytes() const override {
    return k.view().size_bytes() + v.view().size_bytes() + visible.view().size_bytes();
  }
  std::int64_t rows() const { return visible.size(); }

  void store(const Exec& ex, ConstView new_k, ConstView new_v, std::int64_t begin) {
    const std::int64_t T = new_k.dim(1);
    // Of a prompt longer than the ring only the last rows() positions would survive. Each stretch
    // ends where the ring or the prompt does.
    for (std::int64_t t = std::max<std::int64_t>(0, T - rows()), n = 0; t < T; t += n) {
      const std::int64_t row = (begin + t) % rows();
      n = std::min(T - t, rows() - row);
      copy_rows(ex, k.view().slice(1, row, row + n), new_k.slice(1, t, t + n));
      copy_rows(ex, v.view().slice(1, row, row + n), new_v.slice(1, t, t + n));
    }
  }
  // Marks the rows that a query at `position` may read, given that positions up to it are stored.
  void mark_visible(const Exec& ex, const AnySpan& span, std::int64_t position) {
    mark_ring_rows(ex, visible, span.lo(position), position + 1);
  }

  Tensor k, v, visible;
};

}  // namespace

AttentionMixer::AttentionMixer(const std::string& prefix, const Options& o, ParamList& list)
    : options_(o) {
  const std::int64_t C = o.width;
  check(o.heads % tp().part().count == 0, "{} heads cannot be divided among {} tp ranks", o.heads,
        tp().part().count);
  const ParamSplit by_head{0, 3}, by_column{1};
  qkv_weight_ =
      list.add({prefix + ".qkv.weight", {3 * C, C}, Init::normal, o.init_std, true, by_head});
  qkv_bias_ = o.qkv_bias ? list.add({prefix + ".qkv.bias", {3 * C}, Init::zeros, 0, false, by_head})
                         : ParamId::none;
  out_weight_ =
      list.add({prefix + ".out.weight", {C, C}, Init::normal, o.out_std, true, by_column});
  out_bias_ = list.add({prefix + ".out.bias", {C}});
}

void AttentionMixer::forward(const Exec& ex, const Params& p, View y, ConstView x,
                             ConstView residual, const Sequence& s, Saved& saved) const {
  const std::int64_t N = held_heads(), layer = options_.place.layer;
  const View qkv = saved.make(ex, "qkv", {s.rows(), 3 * held_width()});
  const bool mixed = saved.has("attention out");  // by an earlier forward
  const View o = mixed
                     ? saved.get("attention out")
                     : saved.make(ex, "attention out", {s.rows(), held_width()}, Rebuild::dearest);
  const View lse = mixed ? saved.get("lse")
                         : saved.make_as(ex, "lse", {s.B, N, s.T}, DType::f32, Rebuild::dearest);
  {
    const Arena::Scope scope(ex.scratch);
    linear_forward(ex, qkv, tp().gather(ex, {"attention in", layer}, x, s.rows()),
                   p.weight(qkv_weight_), p.weight(qkv_bias_));
  }
  const View q = part_of_qkv(qkv, 0, s, N), k = part_of_qkv(qkv, 1, s, N),
             v = part_of_qkv(qkv, 2, s, N);
  if (mixed) {
    // nothing is left to do
  } else if (s.split == nullptr) {
    attention_forward(ex, as_heads(o, s, N), lse, q, k, v,
                      {options_.span, options_.scale, s.document_start});
  } else {
    context(ex, s).forward(as_heads(o, s, N), lse, q, k, v, saved);
  }
  const Arena::Scope scope(ex.scratch);
  leave_forward(ex, tp(), {"attention out", layer}, y, o, p.weight(out_weight_),
                p.weight(out_bias_), residual);
}

void AttentionMixer::backward(const Exec& ex, const Params& p, View dx, ConstView dy, ConstView x,
                              const Sequence& s, const Saved& saved) const {
  const Arena::Scope scope(ex.scratch);
  const std::int64_t N = held_heads(), layer = options_.place.layer;
  const View qkv = saved.get("qkv"), o = saved.get("attention out");
  const View d_o = ex.scratch.allocate("d attention out", o.shape(), o.dtype());
  linear_backward(ex, d_o, p.grad(out_weight_), p.grad(out_bias_),
                  tp().gather(ex, {"d attention out", layer}, dy, s.rows()), o,
                  p.weight(out_weight_));
  const View dqkv = ex.scratch.allocate("d qkv", qkv.shape(), qkv.dtype());
  const View q = part_of_qkv(qkv, 0, s, N), k = part_of_qkv(qkv, 1, s, N),
             v = part_of_qkv(qkv, 2, s, N);
  const View dq = part_of_qkv(dqkv, 0, s, N), dk = part_of_qkv(dqkv, 1, s, N),
             dv = part_of_qkv(dqkv, 2, s, N);
  if (s.split == nullptr) {
    attention_backward(ex, dq, dk, dv, as_heads(d_o, s, N), q, k, v, as_heads(o, s, N),
                       saved.get("lse"), {options_.span, options_.scale, s.document_start});
  } else {
    context(ex, s).backward(dq, dk, dv, as_heads(d_o, s, N), q, k, v, as_heads(o, s, N),
                            saved.get("lse"), saved);
  }
  const View dx_partial = tp().partial(ex, dx, s.rows());
  linear_backward(ex, dx_partial, p.grad(qkv_weight_), p.grad(qkv_bias_), dqkv,
                  tp().gather(ex, {"attention in again", layer}, x, s.rows()),
                  p.weight(qkv_weight_));
  tp().reduce(ex, {"d attention in", layer}, dx, dx_partial);
}

ContextAttention AttentionMixer::context(const Exec& ex, const Sequence& s) const {
  return {ex,
          *s.split,
          s.document_start,
          options_.span,
          options_.scale,
          options_.place.transport(),
          options_.place.layer};
}

double AttentionMixer::mixing_flops(std::int64_t T) const {
  // Two products (scores, values) of head-size multiply-adds for each visible pair and head.
  return 4.0 * static_cast<double>(options_.width) * static_cast<double>(options_.span.pairs(T));
}

std::unique_ptr<MixerState> AttentionMixer::make_state(const Exec& ex, std::int64_t B,
                                                       std::int64_t capacity) const {
  const std::int64_t rows = options_.span.max_lookback(capacity) + 1;
  const std::int64_t N = options_.heads;
  return std::make_unique<KeyValueRing>(ex, Shape{B, rows, N, options_.width / N});
}

void AttentionMixer::extend(const Exec& ex, const Params& p, View y, ConstView x,
                            ConstView residual, const Sequence& s, std::int64_t begin,
                            MixerState& state) const {
  check(s.T == 1 || begin == 0, "attention: {} tokens cannot be added at position {}; wanted one",
        s.T, begin);
  const Arena::Scope scope(ex.scratch);
  const std::int64_t N = options_.heads;
  auto& ring = dynamic_cast<KeyValueRing&>(state);
  const View qkv = ex.scratch.allocate("qkv", {s.rows(), 3 * options_.width}, x.dtype());
  linear_forward(ex, qkv, x, p.weight(qkv_weight_), p.weight(qkv_bias_));
  const View q = part_of_qkv(qkv, 0, s, N), k = part_of_qkv(qkv, 1, s, N),
             v = part_of_qkv(qkv, 2, s, N);
  ring.store(ex, k, v, begin);
  const View o = ex.scratch.allocate("attention out", {s.rows(), options_.width}, x.dtype());
  if (s.T > 1) {
    const View lse = ex.scratch.allocate("lse", {s.B, N, s.T});
    attention_forward(ex, as_heads(o, s, N), lse, q, k, v, {options_.span, options_.scale, {}});
  } else {
    ring.mark_visible(ex, options_.span, begin);
    attention_decode(ex, as_heads(o, s, N).select(1, 0), q.select(1, 0), ring.k, ring.v,
                     ring.visible, options_.scale);
  }
  linear_residual_forward(ex, y, o, p.weight(out_weight_), p.weight(out_bias_), residual);
}

}  // namespace mixspan
