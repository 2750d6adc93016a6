#include "layers/head.h"

#include <algorithm>

#include "kernels/argmax.h"
#include "kernels/cross_entropy.h"
#include "kernels/cross_entropy_parts.h"
#include "kernels/matmul.h"
#include "kernels/reduce.h"
#include "parallel/shares.h"

namespace mixspan {

namespace {

// Every shard's part of the softmax, (shards, rows, kCrossEntropyPart); logits become what backward
// wants.
View gather_parts(const Exec& ex, const TensorParallel& tp, View logits, ConstView targets,
                  VocabShard shard) {
  const std::int64_t ranks = tp.part().count, mine = tp.part().index;
  const View parts =
      ex.scratch.allocate("softmax parts", {ranks, logits.dim(0), kCrossEntropyPart});
  cross_entropy_part(ex, parts.select(0, mine), logits, targets, shard);
  tp.comm().all_gather({"softmax parts"}, parts, shares(ranks, ranks)).wait();
  return parts;
}

View allocate_logits(const Exec& ex, std::int64_t rows, std::int64_t vocab, DType dtype) {
  const View padded =
      ex.scratch.allocate("logits", {rows, logits_stride(vocab, ex.device.kind)}, dtype);
  return padded.slice(1, 0, vocab);
}

}  // namespace

std::int64_t logits_rows(std::int64_t rows, std::int64_t vocab, DeviceKind device) {
  // A device wants some waves of tiles in each product; a CPU wants its caches, but not to go
  // through a large vocabulary's weights for a few rows (at 50,257 words of width 768, 256 rows are
  // faster than 128: a step of GPT-2 by 5 % in bf16, 1 % in fp32).
  const bool gpu = device == DeviceKind::cuda;
  const std::int64_t bytes = std::int64_t{gpu ? 768 : 16} << 20;
  const std::int64_t fit = bytes / (vocab * static_cast<std::int64_t>(sizeof(float)));
  return std::min(
      rows, gpu ? std::clamp<std::int64_t>(fit, 512, 4096) : std::max<std::int64_t>(256, fit));
}

std::int64_t logits_stride(std::int64_t vocab, DeviceKind device) {
  constexpr std::int64_t kStep = 8;  // 16 bytes of bf16
  return device == DeviceKind::cuda ? (vocab + kStep - 1) / kStep * kStep
                                    : row_stride(vocab, DType::f32, device);
}

Head::Head(const ModelConfig& c, const ModelParallel& parallel, ParamId wte, ParamList& list)
    : vocab_(c.vocab),
      parallel_(parallel),
      ln_f_("ln_f", c.width, c.layer_norm_eps, list),
      wte_(wte) {}

// By the last shard, which none exceeds: shards may differ by a token, but in each chunk all ranks
// meet.
std::int64_t Head::chunk_rows(const Exec& ex, std::int64_t R) const {
  const int ranks = parallel_.tp.part().count;
  return logits_rows(R, share(vocab_, ranks, ranks - 1).size(), ex.device.kind);
}

double Head::loss_and_grad(const Exec& ex, const Params& p, View dh, ConstView h, ConstView targets,
                           double scale) const {
  const Arena::Scope scope(ex.scratch);
  const View losses = ex.scratch.allocate("losses", targets.shape());
  losses_and_grad(ex, p, losses, dh, h, targets, scale);
  return scale * sum(ex, losses);
}

void Head::losses_and_grad(const Exec& ex, const Params& p, View losses, View dh, ConstView h,
                           ConstView targets, double scale) const {
  const Arena::Scope scope(ex.scratch);
  const TensorParallel& tp = parallel_.tp;
  const std::int64_t R = targets.dim(0);
  Saved saved(&ex.scratch, Recompute::none);
  const ConstView normed = tp.gather(ex, {"head in"}, ln_f_.forward(ex, p, h, saved), R);
  const View wte = p.weight(wte_), dwte = p.grad(wte_);
  const std::int64_t chunk = chunk_rows(ex, R);
  const View d_normed = ex.scratch.allocate("d head", h.shape(), h.dtype());
  const View d_partial = tp.partial(ex, d_normed, R);
  for (std::int64_t r = 0; r < R; r += chunk) {
    const Arena::Scope chunk_scope(ex.scratch);
    const std::int64_t end = std::min(R, r + chunk);
    const View logits = allocate_logits(ex, end - r, wte.dim(0), normed.dtype());
    const ConstView x = normed.slice(0, r, end);
    linear_forward(ex, logits, x, wte, {});
    loss_of_chunk(ex, losses.slice(0, r, end), logits, targets.slice(0, r, end), scale);
    linear_backward(ex, d_partial.slice(0, r, end), dwte, {}, logits, x, wte);
  }
  tp.reduce(ex, {"d head in"}, d_normed, d_partial);
  ln_f_.backward(ex, p, dh, d_normed, h, saved, DxMode::overwrite);
}

void Head::loss_of_chunk(const Exec& ex, View losses, View logits, ConstView targets,
                         double scale) const {
  const auto factor = static_cast<float>(scale);
  if (parallel_.tp.alone()) {
    return cross_entropy_forward_backward(ex, losses, logits, targets, factor);
  }
  const Arena::Scope scope(ex.scratch);
  const VocabShard shard = parallel_.tp.vocab_shard(vocab_);
  const View parts = gather_parts(ex, parallel_.tp, logits, targets, shard);
  cross_entropy_join(ex, losses, parts, targets);
  cross_entropy_part_backward(ex, logits, parts, parallel_.tp.part().index, targets, shard, factor);
}

void Head::evaluate(const Exec& ex, const Params& p, View losses, View correct, ConstView h,
                    ConstView targets) const {
  const Arena::Scope scope(ex.scratch);
  const View wte = p.weight(wte_);
  const std::int64_t R = targets.dim(0), V = wte.dim(0), chunk = chunk_rows(ex, R);
  Saved nothing(nullptr, Recompute::full);
  const ConstView normed =
      parallel_.tp.gather(ex, {"head in"}, ln_f_.forward(ex, p, h, nothing), R);
  for (std::int64_t r = 0; r < R; r += chunk) {
    const Arena::Scope chunk_scope(ex.scratch);
    const std::int64_t end = std::min(R, r + chunk);
    const View logits = allocate_logits(ex, end - r, V, normed.dtype());
    linear_forward(ex, logits, normed.slice(0, r, end), wte, {});
    evaluate_chunk(ex, losses.slice(0, r, end), correct.slice(0, r, end), logits,
                   targets.slice(0, r, end));
  }
}

void Head::evaluate_chunk(const Exec& ex, View losses, View correct, View logits,
                          ConstView targets) const {
  const Arena::Scope scope(ex.scratch);
  const TensorParallel& tp = parallel_.tp;
  const TpPart part = tp.part();
  const VocabShard shard = tp.vocab_shard(vocab_);
  const std::int64_t rows = logits.dim(0), ranks = part.count;
  // Each shard's likeliest token; of those that are equally likely the first one counts.
  const View likeliest = ex.scratch.allocate("likeliest", {ranks, rows}, DType::i32);
  argmax_rows(ex, likeliest.select(0, part.index), logits, shard.begin);
  tp.comm().all_gather({"likeliest tokens"}, likeliest, shares(ranks, ranks)).wait();
  View parts;
  if (tp.alone()) {
    cross_entropy_forward(ex, losses, logits, targets);
  } else {
    parts = gather_parts(ex, tp, logits, targets, shard);
    cross_entropy_join(ex, losses, parts, targets);
  }
  mark_correct(ex, correct, likeliest, parts, targets);
}

void Head::logits(const Exec& ex, const Params& p, View logits, ConstView h) const {
  check(parallel_.tp.alone(), "logits of the whole vocabulary on one of {} tp ranks",
        parallel_.tp.part().count);
  const Arena::Scope scope(ex.scratch);
  Saved nothing(nullptr, Recompute::full);
  linear_forward(ex, logits, ln_f_.forward(ex, p, h, nothing), p.weight(wte_), {});
}

}  // namespace mixspan
