// The [parallel] section of a config, and whether a model can be spread that way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "layers/model_config.h"

namespace mixspan {

struct MeshShape;

struct ParallelConfig {
  std::int64_t dp = 1;             ///< parts of the batch
  std::int64_t cp = 1;             ///< parts of the sequence
  std::int64_t tp = 1;             ///< parts of heads, mlp columns and vocabulary
  std::string layout = "zigzag";   ///< of the sequence over cp: see LayoutKind
  std::string transport = "auto";  ///< of keys and values over cp: see Transport; or "auto"
  bool sequence_parallel = true;   ///< tp ranks divide the rows between matrix products
  bool zero = true;                ///< dp x cp ranks divide the optimiser's state (ZeRO-1)
  std::int64_t timeout_s = 600;    ///< of a wait for another rank, before it counts as lost

  std::int64_t ranks() const { return dp * cp * tp; }
  MeshShape shape() const;  ///< of a mesh that ranks can have: its numbers fit an int
  std::string str() const;  ///< "dp 2 x cp 1 x tp 2", of any mesh that one may ask a plan for
  friend bool operator==(const ParallelConfig&, const ParallelConfig&) = default;
};

/// What a rank computes on, as far as its memory goes.
struct StepPlace {
  DeviceKind device = DeviceKind::cpu;
  DType activations = DType::f32;  ///< bf16: kernels read a copy of the weights in it, too
  DType inner = DType::f32;        ///< see mlp_inner_dtype()
  bool fused_attention = false;    ///< backward adds up dq in fp32 (AttentionBackward::fused)
  friend bool operator==(const StepPlace&, const StepPlace&) = default;
};

/// A training step, as far as spreading it over ranks goes.
struct StepShape {
  std::int64_t batch_rows = 1;  ///< sequences of a step, over all ranks
  std::int64_t micro_rows = 0;  ///< a rank computes so many at a time; 0: see chosen_micro_rows
  StepPlace place = {};
  friend bool operator==(const StepShape&, const StepShape&) = default;
};

/// What makes it impossible: one line that begins with the key to change, says why and what would
/// do. All rules of a mesh are here. `model` is valid.
std::optional<std::string> mesh_problem(const ModelConfig& model, const ParallelConfig&,
                                        const StepShape&);

/// Sequences that a rank computes at a time: what StepShape says, or so many that products have
/// their full speed, more only costing memory; of wide models fewer, on a device more.
std::int64_t chosen_micro_rows(const ModelConfig& model, const ParallelConfig&, const StepShape&);

/// The same number of ranks as other meshes that have no problem, those like `wanted` first.
std::vector<ParallelConfig> possible_meshes(const ModelConfig& model, const ParallelConfig& wanted,
                                            const StepShape&, std::int64_t ranks);

}  // namespace mixspan
