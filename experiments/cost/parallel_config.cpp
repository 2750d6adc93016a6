#include "experiments/cost/parallel_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "parallel/exchange_plan.h"
#include "parallel/mesh.h"
#include "parallel/sequence_layout.h"

namespace mixspan {

namespace {

using Problem = std::optional<std::string>;

Problem batch_problem(const ParallelConfig& p, const StepShape& step) {
  if (step.batch_rows % p.dp != 0) {
    return fmt::format(
        "parallel.dp = {} does not divide the {} sequences of a step (train.batch_tokens / "
        "model.context); wanted one that does",
        p.dp, step.batch_rows);
  }
  const std::int64_t rows = step.batch_rows / p.dp;
  if (step.micro_rows != 0 && rows % step.micro_rows != 0) {
    return fmt::format(
        "train.micro_rows = {} does not divide the {} sequences of a step (train.batch_tokens / "
        "model.context{}); wanted one that does, or 0",
        step.micro_rows, rows, p.dp == 1 ? "" : " / parallel.dp");
  }
  return {};
}

Problem sequence_problem(const ModelConfig& m, const ParallelConfig& p) {
  const LayoutKind layout = parse_layout(p.layout);
  const std::int64_t least = layout == LayoutKind::zigzag && p.cp > 1 ? 2 * p.cp : p.cp;
  if (m.context < least) {
    return fmt::format("parallel.cp = {}: {} chunks need model.context of at least {}, got {}",
                       p.cp, p.layout, least, m.context);
  }
  if (p.sequence_parallel && m.context / p.cp < p.tp) {
    return fmt::format(
        "parallel.sequence_parallel = true: {} tp ranks divide {} positions (model.context / "
        "parallel.cp); wanted one for each, or false",
        p.tp, m.context / p.cp);
  }
  return {};
}

Problem tensor_problem(const ModelConfig& m, const ParallelConfig& p) {
  const auto undivided = [&](const char* key, std::int64_t n) {
    return fmt::format("parallel.tp = {} does not divide {} = {}; wanted one that does", p.tp, key,
                       n);
  };
  if (m.heads % p.tp != 0) return undivided("model.heads", m.heads);
  if (m.mlp() % p.tp != 0) return undivided("the MLP's width", m.mlp());
  if (m.vocab != 0 && m.vocab < p.tp) return undivided("model.vocab", m.vocab);
  return {};
}

Problem transport_problem(const ModelConfig& m, const ParallelConfig& p) {
  if (p.transport == "auto" || p.cp == 1) return {};
  const Transport transport = parse_transport(p.transport);
  if (transport == Transport::all_to_all && m.heads % (p.tp * p.cp) != 0) {
    return fmt::format(
        "parallel.transport = \"all_to_all\": tp x cp = {} does not divide model.heads = {}; "
        "wanted \"auto\", \"halo\", \"ring\" or \"gather\"",
        p.tp * p.cp, m.heads);
  }
  if (transport == Transport::local) {
    return fmt::format(
        "parallel.transport = \"local\": {} parts of the sequence must exchange "
        "keys; wanted \"auto\"",
        p.cp);
  }
  return {};
}

/// How far apart two meshes are: the sum over the axes of how many times larger or smaller.
double distance(const ParallelConfig& a, const ParallelConfig& b) {
  const auto times = [](std::int64_t x, std::int64_t y) {
    return std::abs(std::log2(static_cast<double>(x) / static_cast<double>(y)));
  };
  return times(a.dp, b.dp) + times(a.cp, b.cp) + times(a.tp, b.tp);
}

}  // namespace

MeshShape ParallelConfig::shape() const {
  return {static_cast<int>(dp), static_cast<int>(cp), static_cast<int>(tp)};
}

std::string ParallelConfig::str() const { return fmt::format("dp {} x cp {} x tp {}", dp, cp, tp); }

Problem mesh_problem(const ModelConfig& model, const ParallelConfig& p, const StepShape& step) {
  if (Problem problem = tensor_problem(model, p)) return problem;
  if (Problem problem = sequence_problem(model, p)) return problem;
  if (Problem problem = transport_problem(model, p)) return problem;
  return batch_problem(p, step);
}

std::int64_t chosen_micro_rows(const ModelConfig& model, const ParallelConfig& p,
                               const StepShape& step) {
  if (step.micro_rows > 0) return step.micro_rows;
  // Enough tokens for full speed: wide products need fewer, and their activations weigh more.
  constexpr std::int64_t kMost = 2048, kFewest = 1024, kNumbers = kMost * 384;
  constexpr std::int64_t kOfDevice = 16384;  // a few waves of tiles in every product
  const std::int64_t micro_tokens = step.place.device == DeviceKind::cuda
                                        ? kOfDevice
                                        : std::clamp(kNumbers / model.width, kFewest, kMost);
  const std::int64_t all = step.batch_rows / p.dp;
  std::int64_t rows = std::clamp<std::int64_t>(micro_tokens * p.cp / model.context, 1, all);
  while (all % rows != 0) --rows;
  return rows;
}

std::vector<ParallelConfig> possible_meshes(const ModelConfig& model, const ParallelConfig& wanted,
                                            const StepShape& step, std::int64_t ranks) {
  std::vector<ParallelConfig> possible;
  for (std::int64_t tp = 1; tp <= std::min(ranks, model.heads); ++tp) {
    for (std::int64_t cp = 1; cp <= ranks / tp; ++cp) {
      if (ranks % (cp * tp) != 0) continue;
      ParallelConfig p = wanted;
      p.dp = ranks / (cp * tp);
      p.cp = cp;
      p.tp = tp;
      if (!mesh_problem(model, p, step)) possible.push_back(p);
    }
  }
  std::stable_sort(possible.begin(), possible.end(),
                   [&](const ParallelConfig& a, const ParallelConfig& b) {
                     return distance(a, wanted) < distance(b, wanted);
                   });
  return possible;
}

}  // namespace mixspan
