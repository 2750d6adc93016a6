#include "layers/head.h"

#include <algorithm>

#include "kernels/cross_entropy.h"
#include "kernels/matmul.h"
#include "kernels/reduce.h"

namespace mixspan {

namespace {

// Rows whose logits exist at a time: enough of them for full-speed matrix products, few enough that
// the logits stay small beside the activations.
std::int64_t chunk_rows(std::int64_t rows, std::int64_t vocab) {
  constexpr std::int64_t kChunkBytes = std::int64_t{16} << 20;
  const std::int64_t fit = kChunkBytes / (vocab * static_cast<std::int64_t>(sizeof(float)));
  return std::min(rows, std::max<std::int64_t>(128, fit));
}

}  // namespace

Head::Head(const ModelConfig& c, ParamId wte, ParamList& list)
    : ln_f_("ln_f", c.width, c.layer_norm_eps, list), wte_(wte) {}

double Head::loss_and_grad(const Exec& ex, const Params& p, View dh, ConstView h, ConstView targets,
                           double scale) const {
  const Arena::Scope scope(ex.scratch);
  Saved saved(&ex.scratch, Recompute::none);
  const View normed = ln_f_.forward(ex, p, h, saved);
  const View wte = p.weight(wte_), dwte = p.grad(wte_);
  const std::int64_t R = h.dim(0), chunk = chunk_rows(R, wte.dim(0));
  const View d_normed = ex.scratch.allocate("d head", h.shape());
  const View losses = ex.scratch.allocate("losses", {R});
  for (std::int64_t r = 0; r < R; r += chunk) {
    const Arena::Scope chunk_scope(ex.scratch);
    const std::int64_t end = std::min(R, r + chunk);
    const View logits = ex.scratch.allocate("logits", {end - r, wte.dim(0)});
    const View x = normed.slice(0, r, end);
    linear_forward(ex, logits, x, wte, {});
    cross_entropy_forward_backward(ex, losses.slice(0, r, end), logits, targets.slice(0, r, end),
                                   static_cast<float>(scale));
    linear_backward(ex, d_normed.slice(0, r, end), dwte, {}, logits, x, wte);
  }
  fill_zero(dh);  // the norm's backward adds
  ln_f_.backward(ex, p, dh, d_normed, h, saved);
  return scale * sum(ex, losses);
}

void Head::evaluate(const Exec& ex, const Params& p, View losses, View correct, ConstView h,
                    ConstView targets) const {
  const std::int64_t R = h.dim(0), V = p.weight(wte_).dim(0), chunk = chunk_rows(R, V);
  for (std::int64_t r = 0; r < R; r += chunk) {
    const Arena::Scope scope(ex.scratch);
    const std::int64_t end = std::min(R, r + chunk);
    const View part = ex.scratch.allocate("logits", {end - r, V});
    logits(ex, p, part, h.slice(0, r, end));
    cross_entropy_forward(ex, losses.slice(0, r, end), part, targets.slice(0, r, end));
    ex.threads.for_each(end - r, [&](std::int64_t i, int) {
      const float* row = part.data<float>() + i * V;
      const std::int64_t likeliest = std::max_element(row, row + V) - row;
      correct.data<std::uint8_t>()[r + i] = likeliest == targets.data<std::int32_t>()[r + i];
    });
  }
}

void Head::logits(const Exec& ex, const Params& p, View logits, ConstView h) const {
  const Arena::Scope scope(ex.scratch);
  Saved nothing(nullptr, Recompute::full);
  linear_forward(ex, logits, ln_f_.forward(ex, p, h, nothing), p.weight(wte_), {});
}

}  // namespace mixspan
