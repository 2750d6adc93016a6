#include "experiments/run/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/copy.h"
#include "core/error.h"
#include "core/trace.h"
#include "experiments/cost/flops.h"
#include "experiments/run/run_plan.h"
#include "kernels/reduce.h"

namespace mixspan {

namespace {

ScheduleConfig schedule_of(const RunConfig& c) {
  return {schedule_kind(c.optimizer.schedule), c.optimizer.lr, c.train.steps, c.warmup(),
          c.optimizer.final_lr_fraction};
}

// One for each layer: -1 (the embeddings), 0, 1, ..., layers (the final norm).
std::vector<Range> buckets_of(const Model& model) {
  std::vector<Range> buckets;
  for (std::int64_t l = -1; l <= model.config().layers; ++l) buckets.push_back(model.flat_range(l));
  return buckets;
}

ModelParallel model_parallel(const RunConfig& c, const RunPlan& plan, const Mesh& mesh) {
  ModelParallel parallel{TensorParallel(mesh.tp(), c.parallel.sequence_parallel), {}};
  if (mesh.shape().cp == 1) return parallel;
  for (const LayerCost& layer : plan.layers) {
    parallel.transports.push_back(layer.exchange.cost.transport);
  }
  return parallel;
}

Exec in_precision_of(const RunConfig& c, Exec ex) {
  ex.precision = precision_of(c);
  return ex;
}

// The plan is of the config's mesh.
const RunConfig& of_mesh(const RunConfig& c, const Mesh& mesh) {
  const MeshShape wanted = c.parallel.shape();
  check(mesh.shape() == wanted, "a trainer for {} on a mesh of {}", wanted.str(),
        mesh.shape().str());
  return c;
}

}  // namespace

Trainer::Trainer(const Exec& ex, const RunConfig& config, const SampleSource& data)
    : Trainer(ex, config, data, std::make_unique<Mesh>(make_self_communicator(), MeshShape{}),
              nullptr) {}

Trainer::Trainer(const Exec& ex, const RunConfig& config, const SampleSource& data,
                 const Mesh& mesh)
    : Trainer(ex, config, data, nullptr, &mesh) {}

Trainer::Trainer(const Exec& ex, const RunConfig& config, const SampleSource& data,
                 std::unique_ptr<Mesh> own, const Mesh* mesh)
    : exec_(in_precision_of(config, ex)),
      config_(config),
      data_(data),
      own_mesh_(std::move(own)),
      mesh_(own_mesh_ ? *own_mesh_ : *mesh),
      plan_(plan_of(of_mesh(config, mesh_))),
      layout_(parse_layout(config.parallel.layout), config.model.context, mesh_.shape().cp),
      model_(config.model, Params::Gradients::yes, model_parallel(config, plan_, mesh_),
             ParamStorage::of(exec_)),
      sync_(mesh_.dp_cp(), buckets_of(model_), config.parallel.zero),
      optimizer_(sync_.owned(),
                 {config.optimizer.beta1, config.optimizer.beta2, config.optimizer.eps,
                  config.optimizer.weight_decay},
                 ex.device),
      schedule_(schedule_of(config)),
      rows_(config.batch_rows() / mesh_.shape().dp),
      losses_({rows_ * layout_.rows(mesh_.cp().rank())}, DType::f32, ex.device),
      activations_("activations", ex.device) {
  mesh_.world().use_device({exec_.device, exec_.stream});
  check_schedule(schedule_);
  model_.params().initialise(exec_, static_cast<std::uint64_t>(config.train.seed));
}

StepReport Trainer::step(std::int64_t step) {
  const TraceRange range(exec_.tracer, "step", TimedBy::host);
  const std::int64_t first = step * config_.batch_rows() + mesh_.dp().rank() * rows_;
  const Batch batch = [&] {
    const TraceRange part(exec_.tracer, "data");
    return data_.rows(first, rows_);
  }();
  const LocalBatch local = [&] {
    const TraceRange part(exec_.tracer, "data");
    return LocalBatch(exec_, staging_, batch, config_.model, mesh_.cp(), layout_);
  }();
  // Counted before cp splits the sequences, and over all of the step, so that a target weighs the
  // same wherever it is.
  const double num_targets =
      mesh_.dp().all_reduce_sum({"targets"}, static_cast<double>(batch.num_targets));
  check(num_targets > 0, "step {}: the batch has no target", step);

  fill_zero(exec_, model_.params().grads());
  const double loss = mesh_.dp_cp().all_reduce_sum({"loss"}, run_micro_batches(local, num_targets));
  sync_.finish();
  const double norm = grad_norm();
  if (!std::isfinite(loss) || !std::isfinite(norm)) report_nonfinite(step, local, loss);

  const double lr = lr_at(schedule_, step + 1);
  {
    const TraceRange part(exec_.tracer, "optimizer");
    optimizer_.update(exec_, model_.params(), {lr, config_.train.max_grad_norm, norm, step + 1});
    if (sync_.sharded()) {
      sync_.gather(model_.params().weights(), "weights");
      model_.params().round_copies(exec_);
    }
  }
  const StepReport report{step + 1,    config_.batch_rows() * config_.model.context, loss, norm, lr,
                          flops(batch)};
  if (exec_.tracer != nullptr) exec_.tracer->collect();
  return report;
}

// Returns this rank's share of the mean loss. The last micro-batch sends the gradients of each
// layer off as soon as they are complete.
double Trainer::run_micro_batches(const LocalBatch& local, double num_targets) {
  const std::int64_t held = layout_.rows(mesh_.cp().rank());
  const auto of_rows = [&](std::int64_t r) {
    return losses_.view().slice(0, r * held, (r + micro_rows()) * held);
  };
  for (std::int64_t r = 0; r < rows_; r += micro_rows()) {
    const bool last = r + micro_rows() == rows_;
    const LocalBatch::Part part = local.part(r, micro_rows());
    const ModelInput input = part.input();
    Activations kept(activations_, model_.recompute());
    const View h = [&] {
      const TraceRange range(exec_.tracer, "forward");
      return model_.forward(exec_, input, kept);
    }();
    const View dh = h;  // the head alone reads h
    {
      const TraceRange range(exec_.tracer, "loss");
      model_.head().losses_and_grad(exec_, model_.params(), of_rows(r), dh, h, part.targets,
                                    1.0 / num_targets);
    }
    const TraceRange range(exec_.tracer, "backward");
    if (last) sync_layer(config_.model.layers);
    model_.backward(exec_, dh, input, kept, [&](std::int64_t layer) {
      if (last) sync_layer(layer);
    });
  }
  double loss = 0;  // read after all else was given to the device, which works on meanwhile
  for (std::int64_t r = 0; r < rows_; r += micro_rows()) {
    loss += 1.0 / num_targets * sum(exec_, of_rows(r));
  }
  return loss;
}

void Trainer::sync_layer(std::int64_t layer) {
  model_.sum_gradients_by_rows(exec_, layer);
  sync_.ready(model_.params().grads(), static_cast<std::size_t>(layer + 1), layer);
}

// Each gradient counts once: where it is owned, and on one tp rank of those that hold it alike.
double Trainer::grad_norm() const {
  double squares = 0;
  const std::vector<Range> counted = model_.params().counted();
  for (const Range& owned : sync_.owned()) {
    for (const Range& once : counted) {
      const Range r = intersection(owned, once);
      if (r.empty()) continue;
      squares += sum_of_squares(exec_, model_.params().grads().slice(0, r.begin, r.end));
    }
  }
  squares = mesh_.tp().all_reduce_sum({"gradient norm"}, squares);
  if (sync_.sharded()) squares = mesh_.dp_cp().all_reduce_sum({"gradient norm"}, squares);
  return std::sqrt(squares);
}

double Trainer::flops(const Batch& batch) const {
  if (batch.document_start.shape().rank() == 2) {
    return mesh_.dp().all_reduce_sum(
        {"operations"},
        count_flops(config_.model, batch.document_start, config_.model.vocab).model());
  }
  return plan_.model_flops;
}

void Trainer::report_nonfinite(std::int64_t step, const LocalBatch& local, double loss) {
  // The order in which things are computed, so the first find is where it began. The ranks look
  // together, so that all of them stop at the same find.
  const auto stop_if = [&](bool here, const std::string& where) {
    if (mesh_.world().all_reduce_max({"not finite"}, here ? 1 : 0) == 0) return;
    fail(
        "step {}: loss {} or a gradient is not finite; first seen in {}. No weight has moved; "
        "go on from the last checkpoint with a lower optimizer.lr",
        step, loss, where);
  };
  const auto has_nonfinite = [&](const View& x) {
    return first_nonfinite(exec_, x.reshape({x.size()})) >= 0;
  };
  const Params& params = model_.params();
  for (const auto& [name, w] : params.named(model_.params().weights())) {
    stop_if(has_nonfinite(w), "the weight " + name);
  }
  for (std::int64_t r = 0; r < rows_; r += micro_rows()) {
    Activations kept(activations_, Recompute::full);
    const LocalBatch::Part part = local.part(r, micro_rows());
    model_.forward(exec_, part.input(), kept);
    for (std::size_t l = 0; l < kept.hidden().size(); ++l) {
      const std::string rows = ", rows " + std::to_string(r) + ".." +
                               std::to_string(r + micro_rows() - 1) + " of the batch";
      stop_if(
          has_nonfinite(kept.hidden()[l]),
          l == 0 ? "the embeddings" + rows : "the output of layer " + std::to_string(l - 1) + rows);
    }
  }
  stop_if(!std::isfinite(loss), "the logits");
  const auto grads = params.named(model_.params().grads());
  for (auto g = grads.rbegin(); g != grads.rend(); ++g) {  // backward runs from the head down
    stop_if(has_nonfinite(g->view), "the gradient of " + g->name);
  }
  stop_if(true, "the sum of the squares of the gradients, which overflows");
  fail("unreachable");
}

}  // namespace mixspan
