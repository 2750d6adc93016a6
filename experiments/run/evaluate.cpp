#include "experiments/run/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/copy.h"
#include "core/error.h"
#include "core/trace.h"
#include "experiments/run/local_batch.h"
#include "parallel/shares.h"

namespace mixspan {

namespace {

constexpr std::int64_t kRowsTokens = 8192;  // evaluated at a time

struct Sums {
  std::vector<PositionLoss> buckets;  // loss: the sum, until the end
  std::int64_t correct = 0;
};

std::vector<PositionLoss> empty_buckets(std::int64_t T, std::int64_t wanted) {
  std::vector<PositionLoss> buckets;
  const std::int64_t n = std::clamp<std::int64_t>(wanted, 1, T);
  for (std::int64_t i = 0; i < n; ++i) buckets.push_back({i * T / n, (i + 1) * T / n});
  return buckets;
}

// In host memory; waits for it.
Tensor on_host(const Exec& ex, ConstView x) {
  Tensor host(x.shape(), x.dtype());
  copy(ex, host, x);
  return host;
}

void add_rows(const Exec& ex, const Model& model, const LocalBatch& local, Sums& sums) {
  const Arena::Scope scope(ex.scratch);
  const LocalBatch::Part part = local.part(0, local.rows());
  const std::int64_t R = part.targets.size();
  const View h = model.infer(ex, part.input());
  const View losses = ex.scratch.allocate("losses", {R});
  const View correct = ex.scratch.allocate("correct", {R}, DType::u8);
  model.head().evaluate(ex, model.params(), losses, correct, h, part.targets);
  const Tensor loss = on_host(ex, losses), right = on_host(ex, correct);
  for (std::int64_t r = 0; r < R; ++r) {
    if (part.host_targets.data<std::int32_t>()[r] == kIgnoreTarget) continue;
    const std::int64_t position = part.host_positions.data<std::int32_t>()[r];
    const auto bucket = std::find_if(sums.buckets.begin(), sums.buckets.end(),
                                     [&](const PositionLoss& b) { return position < b.end; });
    bucket->loss += static_cast<double>(loss.data<float>()[r]);
    bucket->targets += 1;
    sums.correct += right.data<std::uint8_t>()[r];
  }
}

// Over the ranks that worked on other rows or positions.
void sum_over(Communicator& ranks, Sums& sums) {
  const auto sum = [&](std::int64_t x) {
    return static_cast<std::int64_t>(ranks.all_reduce_sum({"evaluation"}, static_cast<double>(x)));
  };
  for (PositionLoss& bucket : sums.buckets) {
    bucket.loss = ranks.all_reduce_sum({"evaluation"}, bucket.loss);
    bucket.targets = sum(bucket.targets);
  }
  sums.correct = sum(sums.correct);
}

}  // namespace

EvalMetrics evaluate(const Exec& ex, const Model& model, const EvaluationSource& source,
                     std::int64_t buckets) {
  return evaluate(ex, model, source, buckets, Mesh(make_self_communicator(), {}),
                  LayoutKind::contiguous);
}

EvalMetrics evaluate(const Exec& ex, const Model& model, const EvaluationSource& source,
                     std::int64_t buckets, const Mesh& mesh, LayoutKind layout_kind) {
  const TraceRange range(ex.tracer, "evaluate");
  const std::int64_t T = source.row_tokens(), rows = source.num_rows();
  const std::int64_t at_once = std::max<std::int64_t>(1, kRowsTokens / T);
  const SequenceLayout layout(layout_kind, T, mesh.shape().cp);
  const Range mine = share(rows, mesh.shape().dp, mesh.dp().rank());
  Sums sums{empty_buckets(T, buckets)};
  BatchStaging staging;
  for (std::int64_t r = mine.begin; r < mine.end; r += at_once) {
    const Batch batch = source.rows(r, std::min(at_once, mine.end - r));
    add_rows(ex, model, LocalBatch(ex, staging, batch, model.config(), mesh.cp(), layout), sums);
  }
  sum_over(mesh.dp_cp(), sums);
  const std::int64_t text_bytes = source.text_bytes(0, rows);
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
  if (text_bytes > 0) {
    out.bits_per_byte = loss / std::numbers::ln2 / static_cast<double>(text_bytes);
  }
  out.accuracy = static_cast<double>(sums.correct) / static_cast<double>(out.targets);
  std::erase_if(sums.buckets, [](const PositionLoss& b) { return b.targets == 0; });
  out.by_position = std::move(sums.buckets);
  return out;
}

}  // namespace mixspan
