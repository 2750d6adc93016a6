#include "experiments/run/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"
#include "core/trace.h"

namespace mixspan {

namespace {

constexpr std::int64_t kRowsTokens = 8192;  // evaluated at a time

struct Sums {
  std::vector<PositionLoss> buckets;  // loss: the sum, until the end
  std::int64_t correct = 0, text_bytes = 0;
};

std::vector<PositionLoss> empty_buckets(std::int64_t T, std::int64_t wanted) {
  std::vector<PositionLoss> buckets;
  const std::int64_t n = std::clamp<std::int64_t>(wanted, 1, T);
  for (std::int64_t i = 0; i < n; ++i) buckets.push_back({i * T / n, (i + 1) * T / n});
  return buckets;
}

void add_rows(const Exec& ex, const Model& model, const Batch& batch, Sums& sums) {
  const Arena::Scope scope(ex.scratch);
  const ModelInput in{
      batch.tokens, batch.positions,
      batch.document_start.shape().rank() == 2 ? batch.document_start.view() : ConstView()};
  const std::int64_t R = in.sequence().rows();
  const ConstView targets = batch.targets.view().reshape({R});
  const View h = model.infer(ex, in);
  const View losses = ex.scratch.allocate("losses", {R});
  const View correct = ex.scratch.allocate("correct", {R}, DType::u8);
  model.head().evaluate(ex, model.params(), losses, correct, h, targets);
  for (std::int64_t r = 0; r < R; ++r) {
    if (targets.data<std::int32_t>()[r] == kIgnoreTarget) continue;
    const std::int64_t position = batch.positions.data<std::int32_t>()[r];
    const auto bucket = std::find_if(sums.buckets.begin(), sums.buckets.end(),
                                     [&](const PositionLoss& b) { return position < b.end; });
    bucket->loss += static_cast<double>(losses.data<float>()[r]);
    bucket->targets += 1;
    sums.correct += correct.data<std::uint8_t>()[r];
  }
}

}  // namespace

EvalMetrics evaluate(const Exec& ex, const Model& model, const EvaluationSource& source,
                     std::int64_t buckets) {
  const TraceRange range(ex.tracer, "evaluate");
  const std::int64_t T = source.row_tokens(), rows = source.num_rows();
  const std::int64_t at_once = std::max<std::int64_t>(1, kRowsTokens / T);
  Sums sums{empty_buckets(T, buckets)};
  for (std::int64_t r = 0; r < rows; r += at_once) {
    const std::int64_t count = std::min(at_once, rows - r);
    add_rows(ex, model, source.rows(r, count), sums);
    sums.text_bytes += source.text_bytes(r, count);
  }
  EvalMetrics out;
  out.context = T;
  double loss = 0;
  for (PositionLoss& bucket : sums.buckets) {
    loss += bucket.loss;
    out.targets += bucket.targets;
    if (bucket.targets > 0) bucket.loss /= static_cast<double>(bucket.targets);
  }
  check(out.targets > 0, "evaluation: {} has no target", source.describe());
  check(std::isfinite(loss), "evaluation: the loss is {}", loss);
  out.loss = loss / static_cast<double>(out.targets);
  if (sums.text_bytes > 0) {
    out.bits_per_byte = loss / std::numbers::ln2 / static_cast<double>(sums.text_bytes);
  }
  out.accuracy = static_cast<double>(sums.correct) / static_cast<double>(out.targets);
  std::erase_if(sums.buckets, [](const PositionLoss& b) { return b.targets == 0; });
  out.by_position = std::move(sums.buckets);
  return out;
}

}  // namespace mixspan
