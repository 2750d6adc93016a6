#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "experiments/cli/commands.h"
#include "experiments/cost/plan.h"
#include "experiments/run/machine.h"
#include "experiments/run/progress.h"
#include "experiments/run/run_config.h"

namespace mixspan {

namespace {

PlanRequest request_of(const PlanArgs& a) {
  RunConfig config = load_run_config(a.config, a.sets, Purpose::plan);
  if (config.model.vocab == 0) {
    try {
      config.model.vocab = open_training(config.data, config.model.context, 0)->vocab_size();
    } catch (const InputError& error) {
      refuse("{} (a plan needs the vocabulary only: --set model.vocab=N does too)", error.what());
    }
  }
  MachineFile machine =
      a.machine.empty() ? measure_machine(Machine().exec()) : load_machine_file(a.machine);
  return {config.model, config.parallel, config.step_shape(), std::move(machine)};
}

nlohmann::ordered_json json_of(const LayerCost& layer, std::size_t index) {
  const TransportCost& c = layer.exchange.cost;
  return {{"layer", index},
          {"span", layer.span.str()},
          {"transport", str(c.transport)},
          {"bytes_forward", c.bytes.forward},
          {"bytes_backward", c.bytes.backward},
          {"flops_forward", layer.flops.forward()},
          {"compute_ms", layer.compute_s * 1e3},
          {"transfer_ms", c.transfer_s * 1e3},
          {"exposed_ms", c.exposed_s * 1e3},
          {"reason", layer.exchange.reason}};
}

nlohmann::ordered_json json_of(const PlanRequest& r, const RunPlan& plan) {
  const ParallelConfig& p = r.parallel;
  const RankMemory& m = plan.memory;
  nlohmann::ordered_json j;
  j["machine"] = r.machine.name;
  j["ranks"] = p.ranks();
  j["mesh"] = {{"dp", p.dp}, {"cp", p.cp}, {"tp", p.tp}};
  j["layout"] = p.layout;
  j["micro_rows"] = plan.micro_rows;
  j["micro_batches"] = plan.micro_batches;
  j["layers"] = nlohmann::ordered_json::array();
  for (std::size_t l = 0; l < plan.layers.size(); ++l) {
    j["layers"].push_back(json_of(plan.layers[l], l));
  }
  j["memory"] = {{"weights", m.weights},     {"gradients", m.gradients},
                 {"optimizer", m.optimizer}, {"activations", m.activations},
                 {"scratch", m.scratch},     {"exchange", m.exchange},
                 {"sums", m.sums},           {"total", m.total()}};
  j["bytes"] = {{"cp", plan.bytes.cp}, {"tp", plan.bytes.tp}, {"dp", plan.bytes.dp}};
  const StepTime& t = plan.time;
  j["step_ms"] = t.total() * 1e3;
  j["time_ms"] = {{"compute", t.compute * 1e3},
                  {"memory", t.memory * 1e3},
                  {"cp", t.cp * 1e3},
                  {"tp", t.tp * 1e3},
                  {"dp", t.dp * 1e3}};
  j["tokens_per_s"] = plan.tokens_per_s;
  j["model_flops"] = plan.model_flops;
  j["mfu"] = plan.mfu;
  return j;
}

void print_layers(const RunPlan& plan) {
  fmt::print(
      "layer  span              transport   sent fwd  sent bwd  FLOP fwd   compute   exposed\n");
  for (std::size_t l = 0; l < plan.layers.size(); ++l) {
    const LayerCost& layer = plan.layers[l];
    const TransportCost& c = layer.exchange.cost;
    fmt::print("{:5}  {:16}  {:10}  {:>8}  {:>8}  {:>8}  {:6.2f} ms  {:5.3f} ms\n", l,
               layer.span.str(), str(c.transport), human_bytes(c.bytes.forward),
               human_bytes(c.bytes.backward), human_count(layer.flops.forward()),
               layer.compute_s * 1e3, c.exposed_s * 1e3);
  }
}

void print_reasons(const RunPlan& plan) {
  std::map<std::string, std::string> reasons;
  for (const LayerCost& layer : plan.layers) {
    reasons.emplace(layer.span.str(), layer.exchange.reason);
  }
  for (const auto& [span, reason] : reasons) fmt::print("{}: {}\n", span, reason);
}

void print_table(const PlanRequest& r, const RunPlan& plan) {
  const RankMemory& m = plan.memory;
  const StepTime& t = plan.time;
  fmt::print("{} ranks of {}: {}, {}; {} micro-batches of {} sequences\n", r.parallel.ranks(),
             r.machine.name, r.parallel.str(), r.parallel.layout, plan.micro_batches,
             plan.micro_rows);
  fmt::print("for one micro-batch, on the rank that has most of each:\n");
  print_layers(plan);
  print_reasons(plan);
  fmt::print(
      "memory of a rank: {} = weights {}, gradients {}, optimizer {}, activations {}, "
      "scratch {}, exchange {}, sums over ranks {}; there are {}\n",
      human_bytes(m.total()), human_bytes(m.weights), human_bytes(m.gradients),
      human_bytes(m.optimizer), human_bytes(m.activations), human_bytes(m.scratch),
      human_bytes(m.exchange), human_bytes(m.sums),
      human_bytes(r.machine.as_seen_by(r.parallel.ranks()).memory_bytes));
  fmt::print("a rank sends in a step: cp {}, tp {}, dp {}\n", human_bytes(plan.bytes.cp),
             human_bytes(plan.bytes.tp), human_bytes(plan.bytes.dp));
  fmt::print(
      "a step: {:.1f} ms = compute {:.1f}, memory {:.1f}, exposed cp {:.1f}, tp {:.1f}, dp "
      "{:.1f}; {} tokens/s, MFU {:.1f} %\n",
      t.total() * 1e3, t.compute * 1e3, t.memory * 1e3, t.cp * 1e3, t.tp * 1e3, t.dp * 1e3,
      human_count(plan.tokens_per_s), 100 * plan.mfu);
}

}  // namespace

ExitCode plan_command(const PlanArgs& a) {
  const PlanRequest request = request_of(a);
  const RunPlan plan = make_feasible_plan(request, a.ranks);
  if (a.json) {
    fmt::print("{}\n", json_of(request, plan).dump(2));
  } else {
    print_table(request, plan);
  }
  return kFinished;
}

}  // namespace mixspan
