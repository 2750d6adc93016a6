#include "experiments/run/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/trace.h"
#include "experiments/cost/flops.h"
#include "kernels/reduce.h"

namespace mixspan {

namespace {

// Rows computed at a time unless the config says: about this many tokens give matrix products their
// full speed; more only costs memory.
constexpr std::int64_t kMicroTokens = 8192;

std::int64_t choose_micro_rows(const RunConfig& c) {
  if (c.train.micro_rows > 0) return c.train.micro_rows;
  std::int64_t rows = std::clamp<std::int64_t>(kMicroTokens / c.model.context, 1, c.batch_rows());
  while (c.batch_rows() % rows != 0) --rows;
  return rows;
}

ScheduleConfig schedule_of(const RunConfig& c) {
  return {schedule_kind(c.optimizer.schedule), c.optimizer.lr, c.train.steps, c.warmup(),
          c.optimizer.final_lr_fraction};
}

struct MicroBatch {
  ModelInput input;
  ConstView targets;  // (B * T)
};

MicroBatch micro_batch(const Batch& batch, std::int64_t begin, std::int64_t rows) {
  const auto part = [&](const Tensor& t) {
    return t.shape().rank() == 2 ? t.view().slice(0, begin, begin + rows) : ConstView();
  };
  const ConstView targets = part(batch.targets);
  return {{part(batch.tokens), part(batch.positions), part(batch.document_start)},
          targets.reshape({targets.size()})};
}

}  // namespace

Trainer::Trainer(const Exec& ex, const RunConfig& config, const SampleSource& data)
    : exec_(ex),
      config_(config),
      data_(data),
      model_(config.model, Params::Gradients::yes),
      optimizer_(model_.params(), {config.optimizer.beta1, config.optimizer.beta2,
                                   config.optimizer.eps, config.optimizer.weight_decay}),
      schedule_(schedule_of(config)),
      micro_rows_(choose_micro_rows(config)),
      activations_("activations") {
  check_schedule(schedule_);
  model_.params().initialise(static_cast<std::uint64_t>(config.train.seed));
}

StepReport Trainer::step(std::int64_t step) {
  const TraceRange range(exec_.tracer, "step");
  const auto traced = [&](const char* name, auto&& body) {
    const TraceRange part(exec_.tracer, name);
    return body();
  };
  const std::int64_t rows = config_.batch_rows();
  const Batch batch = traced("data", [&] { return data_.rows(step * rows, rows); });
  check(batch.num_targets > 0, "step {}: the batch has no target", step);

  fill_zero(model_.params().grads());
  double loss = 0;
  for (std::int64_t r = 0; r < rows; r += micro_rows_) {
    const MicroBatch micro = micro_batch(batch, r, micro_rows_);
    Activations kept(activations_, model_.recompute());
    const View h = traced("forward", [&] { return model_.forward(exec_, micro.input, kept); });
    const View dh = activations_.allocate("d hidden", h.shape());
    loss += traced("loss", [&] {
      return model_.head().loss_and_grad(exec_, model_.params(), dh, h, micro.targets,
                                         1.0 / static_cast<double>(batch.num_targets));
    });
    traced("backward", [&] { model_.backward(exec_, dh, micro.input, kept); });
  }

  const double grad_norm = std::sqrt(sum_of_squares(exec_, model_.params().grads()));
  if (!std::isfinite(loss) || !std::isfinite(grad_norm)) report_nonfinite(step, batch, loss);

  const double lr = lr_at(schedule_, step + 1);
  traced("optimizer", [&] {
    optimizer_.update(exec_, model_.params(),
                      {lr, config_.train.max_grad_norm, grad_norm, step + 1});
  });
  return {step + 1, rows * config_.model.context, loss, grad_norm, lr, flops(batch)};
}

double Trainer::flops(const Batch& batch) const {
  if (batch.document_start.shape().rank() == 2) {
    return count_flops(config_.model, batch.document_start, config_.model.vocab).model();
  }
  return static_cast<double>(config_.batch_rows()) *
         count_flops(config_.model, config_.model.context, config_.model.vocab).model();
}

void Trainer::report_nonfinite(std::int64_t step, const Batch& batch, double loss) {
  // The order in which things are computed, so the first find is where it began.
  const auto stop = [&](const std::string& where) {
    fail(
        "step {}: loss {} or a gradient is not finite; first seen in {}. No weight has moved; "
        "go on from the last checkpoint with a lower optimizer.lr",
        step, loss, where);
  };
  for (const auto& [name, w] : model_.params().named(model_.params().weights())) {
    if (first_nonfinite(exec_, w.reshape({w.size()})) >= 0) stop("the weight " + name);
  }
  for (std::int64_t r = 0; r < config_.batch_rows(); r += micro_rows_) {
    Activations kept(activations_, Recompute::full);
    model_.forward(exec_, micro_batch(batch, r, micro_rows_).input, kept);
    for (std::size_t l = 0; l < kept.hidden().size(); ++l) {
      const View h = kept.hidden()[l];
      if (first_nonfinite(exec_, h.reshape({h.size()})) < 0) continue;
      const std::string rows = ", rows " + std::to_string(r) + ".." +
                               std::to_string(r + micro_rows_ - 1) + " of the batch";
      stop(l == 0 ? "the embeddings" + rows
                  : "the output of layer " + std::to_string(l - 1) + rows);
    }
  }
  if (!std::isfinite(loss)) stop("the logits");
  const auto grads = model_.params().named(model_.params().grads());
  for (auto g = grads.rbegin(); g != grads.rend(); ++g) {  // backward runs from the head down
    if (first_nonfinite(exec_, g->view.reshape({g->view.size()})) >= 0) {
      stop("the gradient of " + g->name);
    }
  }
  stop("the sum of the squares of the gradients, which overflows");
  fail("unreachable");
}

std::vector<NamedView> Trainer::state() {
  std::vector<NamedView> all;
  const auto add = [&](const std::string& group, View flat) {
    for (const NamedView& part : model_.params().named(flat)) {
      all.push_back({group + "/" + part.name, part.view});
    }
  };
  add("model", model_.params().weights());
  add("adam_m", optimizer_.m());
  add("adam_v", optimizer_.v());
  return all;
}

}  // namespace mixspan
