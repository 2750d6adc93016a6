// The configuration of one run: what `mixspan train` reads.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/config.h"
#include "core/exec.h"
#include "data/loader.h"
#include "experiments/cost/parallel_config.h"
#include "layers/mlp.h"
#include "layers/model_config.h"

namespace mixspan {

struct RunConfig {
  struct Train {
    std::int64_t steps = 1000;
    std::int64_t batch_tokens = 65536;  ///< of one step, over all ranks and micro-batches
    std::int64_t micro_rows = 0;        ///< sequences computed at a time; 0: chosen by the trainer
    std::int64_t seed = 1;
    double max_grad_norm = 1.0;      ///< 0: no clipping
    std::string precision = "fp32";  ///< or "bf16"; see precision_of()
    std::string max_time;            ///< see parse_duration; "": no limit
    std::string init_from;  ///< a run or checkpoint whose weights to start from; "": random
    friend bool operator==(const Train&, const Train&) = default;
  };
  struct Optimizer {
    double lr = 3e-4;
    double beta1 = 0.9, beta2 = 0.95;
    double eps = 1e-8;
    double weight_decay = 0.1;
    std::string schedule = "cosine";  ///< or "linear", "constant"
    std::int64_t warmup_steps = -1;   ///< -1: chosen from the number of steps, see warmup()
    double final_lr_fraction = 0.1;
    friend bool operator==(const Optimizer&, const Optimizer&) = default;
  };
  struct Checkpoint {
    std::int64_t every_steps = 200;  ///< 0: only at the end and on a signal
    std::int64_t keep = 3;           ///< 0: all
    friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
  };
  struct Eval {
    std::int64_t every_steps = 200;  ///< 0: only at the end
    std::int64_t rows = 64;          ///< sequences; 0: all of the evaluation data
    std::int64_t buckets = 8;        ///< equal parts of the context that losses are reported by
    friend bool operator==(const Eval&, const Eval&) = default;
  };
  struct Log {
    std::int64_t every_steps = 10;
    bool tensorboard = true;
    std::string trace;                    ///< a Chrome trace is written here; "": no tracing
    std::int64_t trace_warmup_steps = 1;  ///< that the times in result.json leave out
    friend bool operator==(const Log&, const Log&) = default;
  };

  struct Kernels {
    std::string attention = "auto";  ///< or "naive", "mma", "wgmma"; on a device, as all here
    std::string attention_backward = "auto";  ///< or "split", "fused"
    bool fuse_gelu = false;                   ///< let cuBLASLt compute it inside products
    bool fuse_bias_gradient = false;          ///< as fuse_gelu
    bool tune_products = false;               ///< time cuBLASLt's algorithms
    friend bool operator==(const Kernels&, const Kernels&) = default;
  };

  std::string device = "auto";  ///< or "cpu", "cuda"; of a run that has started never "auto"
  ModelConfig model;
  DataConfig data;
  Train train;
  Optimizer optimizer;
  ParallelConfig parallel;
  Kernels kernels;
  Checkpoint checkpoint;
  Eval eval;
  Log log;

  std::int64_t batch_rows() const { return train.batch_tokens / model.context; }
  StepShape step_shape() const {
    const bool gpu = device == "cuda", bf16 = train.precision == "bf16";
    return {batch_rows(),
            train.micro_rows,
            {gpu ? DeviceKind::cuda : DeviceKind::cpu, gpu && bf16 ? DType::bf16 : DType::f32,
             mlp_inner_dtype(bf16 ? Precision::bf16 : Precision::fp32),
             gpu && bf16 && kernels.attention_backward == "fused"}};
  }
  /// Warm-up steps: what optimizer.warmup_steps says, or a tenth of the steps, at most 200.
  std::int64_t warmup() const {
    return optimizer.warmup_steps >= 0 ? optimizer.warmup_steps
                                       : std::min<std::int64_t>(200, train.steps / 10);
  }
  friend bool operator==(const RunConfig&, const RunConfig&) = default;
};

/// The description of every key, bound to `config`, whose values are the defaults.
ConfigSchema schema_of(RunConfig& config);
/// The [model] section alone: what describes a model that no run of ours has trained.
ConfigSchema schema_of(ModelConfig& config);

/// What a config is read for. A plan may be of what this build or this machine cannot run.
enum class Purpose { train, plan };

/// Reads a config file, applies "key=value" overrides in order, and validates the result.
RunConfig load_run_config(const std::filesystem::path& path, const std::vector<std::string>& sets,
                          Purpose purpose = Purpose::train);

/// What must hold between keys; for training also mesh_problem() and what this build can do. Throws
/// InputError: one line that begins with the key to change.
void validate(const RunConfig& config, Purpose purpose = Purpose::train);

/// Refuses what the processor cannot multiply; validate() asks for this one's.
void require_precision(const RunConfig& config, bool cpu_has_bf16);

/// What Exec::precision is to be.
Precision precision_of(const RunConfig& config);

/// The resolved config as TOML, every key written out.
std::string to_toml(const RunConfig& config);

/// "90", "90s", "15m", "2h30m", "1d12h": a whole number of seconds, or parts with a unit in falling
/// order; at least 1 s. Throws InputError.
std::chrono::seconds parse_duration(std::string_view text);

}  // namespace mixspan
