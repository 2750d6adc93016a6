#include "experiments/run/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "experiments/cost/reference_machine.h"
#include "experiments/run/device_choice.h"

namespace mixspan {

namespace {

PlanRequest request_of(const RunConfig& c) {
  return {c.model, c.parallel, c.step_shape(),
          reference_machine(c.device == "cuda" ? "cuda" : "cpu")};
}

// Of the machine, or of the device that the rank is on.
std::int64_t memory_there(Device device) {
  if (!device.is_cuda()) return physical_memory();
  return static_cast<std::int64_t>(memory_of(device).total_bytes);
}

}  // namespace

RunPlan plan_of(const RunConfig& c) { return make_plan(request_of(c)); }

std::vector<std::string> describe_transports(const RunConfig& c, const RunPlan& plan) {
  if (c.parallel.cp == 1) return {};
  std::map<std::string, std::vector<std::size_t>> layers;  // by the rest of the line
  std::vector<std::string> order;
  for (std::size_t l = 0; l < plan.layers.size(); ++l) {
    const LayerCost& layer = plan.layers[l];
    const std::string text = fmt::format("{} by {} ({})", layer.span.str(),
                                         str(layer.exchange.cost.transport), layer.exchange.reason);
    if (!layers.contains(text)) order.push_back(text);
    layers[text].push_back(l);
  }
  std::vector<std::string> lines;
  for (const std::string& text : order) {
    lines.push_back(fmt::format("layer {}: {}", fmt::join(layers[text], " "), text));
  }
  return lines;
}

void require_memory(const RunConfig& c, Communicator& world, Device device,
                    std::int64_t machine_bytes) {
  const std::int64_t bytes = machine_bytes > 0 ? machine_bytes : memory_there(device);
  const std::int64_t share = bytes / ranks_that_share(device, world);
  PlanRequest request = request_of(c);
  request.machine = request.machine.as_seen_by(c.parallel.ranks());
  request.machine.name = c.device == "cuda" ? "this device" : "this machine";
  // Ranks on different machines: what is too much for one is too much.
  request.machine.memory_bytes =
      static_cast<std::int64_t>(-world.all_reduce_max({"memory"}, -static_cast<double>(share)));
  refuse_without_memory(request);
}

}  // namespace mixspan
