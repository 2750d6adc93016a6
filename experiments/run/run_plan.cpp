#include "experiments/run/run_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/hash.h"
#include "experiments/cost/reference_machine.h"
#include "experiments/run/device_choice.h"
#include "experiments/run/lease.h"
#include "parallel/shares.h"

namespace mixspan {

namespace {

PlanRequest request_of(const RunConfig& c) {
  return {c.model, c.parallel, c.step_shape(),
          reference_machine(c.device == "cuda" ? "cuda" : "cpu")};
}

std::int64_t ranks_on_this_host(Communicator& world) {
  const std::string name = host_name();
  Xxh3 hash;
  hash.update(name.data(), name.size());
  Tensor hosts({world.size()}, DType::i64);
  std::int64_t* const all = hosts.data<std::int64_t>();
  const auto mine = static_cast<std::int64_t>(hash.digest());
  all[world.rank()] = mine;
  world.all_gather({"hosts"}, hosts, shares(world.size(), world.size())).wait();
  return std::count(all, all + world.size(), mine);
}

// Of the machine, or of the device that the run is on.
std::int64_t memory_there(const RunConfig& c) {
  if (c.device != "cuda") return physical_memory();
  return static_cast<std::int64_t>(memory_of(chosen_device(c.device, "device")).total_bytes);
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

void require_memory(const RunConfig& c, Communicator& world, std::int64_t machine_bytes) {
  const std::int64_t bytes = machine_bytes > 0 ? machine_bytes : memory_there(c);
  const std::int64_t share = bytes / ranks_on_this_host(world);
  PlanRequest request = request_of(c);
  request.machine = request.machine.as_seen_by(c.parallel.ranks());
  request.machine.name = c.device == "cuda" ? "this device" : "this machine";
  // Ranks on different machines: what is too much for one is too much.
  request.machine.memory_bytes =
      static_cast<std::int64_t>(-world.all_reduce_max({"memory"}, -static_cast<double>(share)));
  refuse_without_memory(request);
}

}  // namespace mixspan
