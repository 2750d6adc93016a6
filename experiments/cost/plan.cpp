#include "experiments/cost/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/error.h"

namespace mixspan {

namespace {

constexpr double kFloat = 4;

/// All that a plan is made of, and what follows from it.
class Planner {
 public:
  explicit Planner(const PlanRequest& r)
      : r_(r),
        p_(r.parallel),
        machine_(r.machine.as_seen_by(p_.ranks())),
        layout_(parse_layout(p_.layout), r.model.context, static_cast<int>(p_.cp)),
        policy_(parse_recompute(r.model.recompute)),
        row_(count_flops(r.model, r.model.context, r.model.vocab)) {}

  RunPlan make();

 private:
  double part_of_rows() const {
    return static_cast<double>(layout_.most_rows()) / static_cast<double>(layout_.T());
  }
  std::vector<LayerCost> layer_costs(std::int64_t micro_rows) const;
  double products(const LayerCost& layer) const {
    return 3 * (layer.flops.projections + layer.flops.mlp) +
           (runs_again(policy_) ? layer.flops.products_again() : 0);
  }
  void add_products_and_attention(RunPlan&) const;
  void add_passes_over_memory(RunPlan&) const;
  void add_compute(RunPlan&) const;
  void add_memory_time(RunPlan&) const;
  void add_tensor_parallel(RunPlan&) const;
  void add_gradients(RunPlan&) const;

  const PlanRequest& r_;
  const ParallelConfig& p_;
  MachineFile machine_;  // as a rank sees it
  SequenceLayout layout_;
  Recompute policy_;
  ModelFlops row_;  // one sequence
};

std::vector<LayerCost> Planner::layer_costs(std::int64_t micro_rows) const {
  const ModelConfig& m = r_.model;
  const ExchangeSetting setting{layout_,
                                {micro_rows, m.heads / p_.tp, m.head_size(), 4},
                                p_.tp,
                                mixes_again(policy_),
                                machine_};
  const double share = static_cast<double>(micro_rows) / static_cast<double>(p_.tp);
  std::map<std::string, TransportChoice> choices;  // most layers share a span
  std::vector<LayerCost> layers;
  for (const LayerFlops& flops : row_.layers) {
    const auto [found, is_new] = choices.try_emplace(flops.span.str());
    if (is_new) found->second = choose_transport(flops.span, setting, p_.transport);
    const TransportCost& exchange = found->second.cost;
    LayerCost layer{flops.span, found->second, flops, 0};
    layer.flops.projections *= share * part_of_rows();
    layer.flops.mlp *= share * part_of_rows();
    layer.flops.attention = exchange.flops;
    layer.compute_s = products(layer) / machine_.gemm_flops + exchange.compute_s;
    layers.push_back(layer);
  }
  return layers;
}

void Planner::add_products_and_attention(RunPlan& plan) const {
  const auto micro_batches = static_cast<double>(plan.micro_batches);
  double products_of_all = 3 * row_.head * static_cast<double>(plan.micro_rows) * part_of_rows() /
                           static_cast<double>(p_.tp);
  for (const LayerCost& layer : plan.layers) {
    products_of_all += products(layer);
    const bool full = layer.span == AnySpan(FullSpan{});
    PartWork& attention = full ? plan.work.full_attention : plan.work.short_attention;
    attention.flops += layer.exchange.cost.step_flops * micro_batches;
  }
  plan.work.gemm.flops = products_of_all * micro_batches;
}

// In passes over a micro-batch's hidden states (rows x width), inner states (rows x mlp) or logits.
// A norm reads and writes; its gradient reads two and adds to one. Embeddings read two tables and
// write; their gradient is read and added to two tables. GELU and its gradient lie inside their
// product's time, but where a CPU multiplies bf16: there the gradient reads two and writes one.
// GELU again lies inside the gradient's time on a CPU (in bf16 it writes one more); on a device it
// reads and writes.
void Planner::add_passes_over_memory(RunPlan& plan) const {
  const auto rows = static_cast<double>(plan.micro_rows * layout_.most_rows());
  const auto number = static_cast<double>(size_of(r_.step.place.activations));
  const auto tp = static_cast<double>(p_.tp);
  const auto L = static_cast<double>(plan.layers.size());
  const double hidden = rows * static_cast<double>(r_.model.width) * number;
  const double held = p_.sequence_parallel ? hidden / tp : hidden;
  const double inner = rows * static_cast<double>(r_.model.mlp()) / tp *
                       static_cast<double>(size_of(r_.step.place.inner));
  const double logits = rows * static_cast<double>(r_.model.vocab) * number / tp;
  const double norms = 2 * (2 + 4) + (policy_ == Recompute::none ? 0 : 2 * 2);
  const bool cpu = r_.step.place.device == DeviceKind::cpu;
  const bool apart = cpu && r_.step.place.inner == DType::bf16;
  double gelu = apart ? 3 : 0;
  if (policy_ == Recompute::selective) gelu += cpu ? (apart ? 1 : 0) : 2;
  const double last_norm = 2 + 3, embeddings = 3 + 5;
  const auto micro_batches = static_cast<double>(plan.micro_batches);
  const RankMemory& m = plan.memory;
  plan.work.elementwise.bytes =
      micro_batches * (L * (norms * held + gelu * inner) + last_norm * held + embeddings * hidden) +
      static_cast<double>(m.gradients);
  plan.work.loss.bytes = micro_batches * 2 * logits;
  // AdamW reads four buffers and writes three.
  plan.work.optimizer.bytes =
      7.0 / 2 * static_cast<double>(m.optimizer) + static_cast<double>(m.gradients);
}

void Planner::add_compute(RunPlan& plan) const {
  const auto micro_batches = static_cast<double>(plan.micro_batches);
  double attention = 0, exposed = 0;
  std::int64_t bytes = 0;
  for (const LayerCost& layer : plan.layers) {
    attention += layer.exchange.cost.compute_s;
    exposed += layer.exchange.cost.exposed_s;
    bytes += layer.exchange.cost.bytes.total();
  }
  plan.time.compute = plan.work.gemm.flops / machine_.gemm_flops + attention * micro_batches;
  plan.time.cp = exposed * micro_batches;
  plan.bytes.cp = bytes * plan.micro_batches;
}

// Every result of a layer is written once and read once, in forward, and twice that in backward.
void Planner::add_memory_time(RunPlan& plan) const {
  ModelConfig keeps_all = r_.model;
  keeps_all.recompute = "none";
  const double results =
      static_cast<double>(rank_memory(keeps_all, p_, plan.micro_rows,
                                      std::vector<LayerExchange>(plan.layers.size()), r_.step.place)
                              .activations);
  const double passes =
      runs_again(policy_) ? 4 : 3;  // backward does two, and may do forward's again
  const double moves = 2 * passes * results * static_cast<double>(plan.micro_batches);
  const double update = plan.work.optimizer.bytes + static_cast<double>(plan.memory.gradients);
  plan.time.memory = (moves + update) / machine_.memory_bandwidth;
}

// In pieces of (tp - 1) / tp of a micro-batch's hidden states: a gathering or a scattered sum is
// one, an all-reduce is two. Two regions a layer, the embeddings and the head.
void Planner::add_tensor_parallel(RunPlan& plan) const {
  if (p_.tp == 1) return;
  const auto L = static_cast<double>(plan.layers.size());
  const double forward = 4, backward = p_.sequence_parallel ? 6 : 4;
  // Again without the MLP's scattered sum, or all-reduce.
  const double again = runs_again(policy_) ? (p_.sequence_parallel ? 3 : 2) : 0;
  const double pieces = L * (forward + again + backward) + 4;
  const double piece = static_cast<double>(p_.tp - 1) / static_cast<double>(p_.tp) *
                       static_cast<double>(plan.micro_rows * layout_.most_rows() * r_.model.width) *
                       kFloat;
  const double micro_batches = static_cast<double>(plan.micro_batches);
  const MachineFile::Link& link = machine_.link(p_.tp, 1);
  plan.bytes.tp = static_cast<std::int64_t>(pieces * piece * micro_batches);
  plan.time.tp = pieces * link.seconds(piece) * micro_batches;
}

void Planner::add_gradients(RunPlan& plan) const {
  const std::int64_t ranks = p_.dp * p_.cp;
  if (ranks == 1) return;
  const double once = static_cast<double>(ranks - 1) / static_cast<double>(ranks) *
                      static_cast<double>(plan.memory.gradients);
  const MachineFile::Link& link = machine_.link(ranks, p_.tp);
  // Beside them the loss and, where no rank has all gradients, their norm, to every other rank.
  const std::int64_t numbers = p_.zero ? 2 : 1;
  plan.bytes.dp = static_cast<std::int64_t>(2 * once) +
                  numbers * (ranks - 1) * static_cast<std::int64_t>(sizeof(double));
  const double backward =
      2.0 / 3 * (plan.time.compute + plan.time.cp) / static_cast<double>(plan.micro_batches);
  // An all-reduce is a scattered sum and a gathering; ZeRO gathers weights, after the update.
  const double sum = link.seconds(p_.zero ? once : 2 * once);
  plan.time.dp = std::max(0.0, sum - backward) + (p_.zero ? link.seconds(once) : 0);
}

RunPlan Planner::make() {
  RunPlan plan;
  plan.micro_rows = chosen_micro_rows(r_.model, p_, r_.step);
  plan.micro_batches = r_.step.batch_rows / p_.dp / plan.micro_rows;
  plan.layers = layer_costs(plan.micro_rows);
  std::vector<LayerExchange> exchanges;
  for (const LayerCost& layer : plan.layers) {
    exchanges.push_back({layer.span, layer.exchange.cost.transport});
  }
  plan.memory = rank_memory(r_.model, p_, plan.micro_rows, exchanges, r_.step.place);
  add_products_and_attention(plan);
  add_passes_over_memory(plan);
  add_compute(plan);
  add_memory_time(plan);
  add_tensor_parallel(plan);
  add_gradients(plan);
  const auto sequences = static_cast<double>(r_.step.batch_rows);
  plan.model_flops = row_.model() * sequences;
  plan.tokens_per_s = sequences * static_cast<double>(r_.model.context) / plan.time.total();
  plan.mfu =
      plan.model_flops / plan.time.total() / machine_.gemm_flops / static_cast<double>(p_.ranks());
  return plan;
}

double gigabytes(std::int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

std::string memory_problem(const RunPlan& plan, const MachineFile& machine) {
  if (plan.memory.total() <= machine.memory_bytes) return "";
  return fmt::format("parallel: {:.1f} GB for each rank do not fit the {:.1f} GB of {}",
                     gigabytes(plan.memory.total()), gigabytes(machine.memory_bytes), machine.name);
}

std::string others_that_do(const PlanRequest& r, std::int64_t ranks) {
  constexpr std::size_t kMost = 3, kTries = 24;  // those further away are of little help
  std::vector<ParallelConfig> nearest = possible_meshes(r.model, r.parallel, r.step, ranks);
  nearest.resize(std::min(nearest.size(), kTries));
  std::vector<std::string> names;
  for (const ParallelConfig& p : nearest) {
    const PlanRequest other{r.model, p, r.step, r.machine};
    if (memory_problem(make_plan(other), r.machine.as_seen_by(ranks)).empty()) {
      names.push_back(p.str());
    }
    if (names.size() == kMost) break;
  }
  return names.empty()
             ? fmt::format("no mesh of {} ranks would do", ranks)
             : fmt::format("of {} ranks these would do: {}", ranks, fmt::join(names, ", "));
}

}  // namespace

void refuse_without_memory(const PlanRequest& r) {
  constexpr double kClearly = 1.5;
  const std::int64_t ranks = r.parallel.ranks();
  const std::int64_t needed = make_plan(r).memory.total();
  const std::int64_t there = r.machine.as_seen_by(ranks).memory_bytes;
  if (static_cast<double>(needed) <= kClearly * static_cast<double>(there)) return;
  refuse(
      "parallel: each of {} ranks is predicted to need {:.1f} GB, clearly more than its {:.1f} GB "
      "of {}; {}",
      ranks, gigabytes(needed), gigabytes(there), r.machine.name, others_that_do(r, ranks));
}

RunPlan make_plan(const PlanRequest& r) {
  const std::optional<std::string> problem = mesh_problem(r.model, r.parallel, r.step);
  require(!problem, "{}", problem.value_or(""));
  return Planner(r).make();
}

RunPlan make_feasible_plan(const PlanRequest& r, std::int64_t wanted_ranks) {
  const std::int64_t ranks = wanted_ranks == 0 ? r.parallel.ranks() : wanted_ranks;
  std::string problem = mesh_problem(r.model, r.parallel, r.step).value_or("");
  if (r.parallel.ranks() != ranks) {
    problem = fmt::format("parallel: {} is {} ranks, not {}", r.parallel.str(), r.parallel.ranks(),
                          ranks);
  }
  if (problem.empty()) {
    RunPlan plan = make_plan(r);
    problem = memory_problem(plan, r.machine.as_seen_by(ranks));
    if (problem.empty()) return plan;
  }
  refuse("{}; {}", problem, others_that_do(r, ranks));
}

}  // namespace mixspan
