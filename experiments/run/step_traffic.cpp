#include "experiments/run/step_traffic.h"

#include <fmt/format.h>

#include <algorithm>

#include "experiments/run/progress.h"
#include "parallel/exchange_bytes.h"

namespace mixspan {

std::vector<LayerTraffic> layer_traffic(const RunConfig& c, const Trainer& trainer) {
  const RunPlan& plan = trainer.plan();
  const SequenceLayout& layout = trainer.layout();
  const Mesh& mesh = trainer.mesh();
  const RowSize row{plan.micro_rows, c.model.heads / mesh.shape().tp, c.model.head_size()};
  const bool forward_again = mixes_again(parse_recompute(c.model.recompute));
  std::vector<LayerTraffic> layers;
  for (const LayerCost& cost : plan.layers) {
    const Transport transport = cost.exchange.cost.transport;
    const ExchangeBytes bytes =
        exchange_bytes(transport, HaloPlan(cost.span, layout), layout, mesh.cp().rank(), row);
    const std::int64_t micro_batch = bytes.total() + (forward_again ? bytes.forward : 0);
    layers.push_back(
        {std::ssize(layers), cost.span.str(), transport, micro_batch * plan.micro_batches, 0});
  }
  for (const Traffic& t : mesh.cp().traffic()) {
    if (t.layer >= 0) layers.at(static_cast<std::size_t>(t.layer)).sent += t.bytes_sent;
  }
  return layers;
}

std::string describe(const LayerTraffic& t) {
  return fmt::format("layer {} {} {}: planned {}, sent {} a step", t.layer, t.span,
                     str(t.transport), human_bytes(t.planned), human_bytes(t.sent));
}

void StepTraffic::begin_step() {
  for (Communicator* axis : {&mesh_.tp(), &mesh_.cp(), &mesh_.dp_cp()}) axis->reset_traffic();
}

void StepTraffic::end_step() {
  const auto count = [](const Communicator& axis, Sum& sum) {
    std::int64_t bytes = 0;
    for (const Traffic& t : axis.traffic()) {
      bytes += t.bytes_sent;
      sum.wait_seconds += t.wait_seconds;
    }
    sum.bytes += bytes;
    return bytes;
  };
  last_ = {.dp = count(mesh_.dp_cp(), dp_cp_),
           .cp = count(mesh_.cp(), cp_),
           .tp = count(mesh_.tp(), tp_)};
  ++steps_;
}

std::vector<StepTraffic::Axis> StepTraffic::totals() const {
  Communicator& world = mesh_.world();
  const double steps = static_cast<double>(std::max<std::int64_t>(steps_, 1));
  std::vector<Axis> all;
  const auto add = [&](const char* name, const Sum& sum) {
    const double bytes = world.all_reduce_sum({"traffic"}, static_cast<double>(sum.bytes));
    const double seconds = world.all_reduce_sum({"traffic"}, sum.wait_seconds);
    all.push_back({name, bytes / steps, seconds / steps / world.size()});
  };
  add("tp", tp_);
  add("cp", cp_);
  add("dp_cp", dp_cp_);
  return all;
}

}  // namespace mixspan
