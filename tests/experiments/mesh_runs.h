// Training a small model on every mesh, with ranks that are threads, for comparison with one rank.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/loader.h"
#include "experiments/run/run_config.h"
#include "experiments/run/trainer.h"
#include "parallel/thread_ranks.h"

namespace mixspan::test {

/// Random tokens. With `packed`, rows are documents of uneven lengths that do not see each other;
/// some targets are ignored either way.
class RandomRows final : public SampleSource {
 public:
  RandomRows(std::int64_t T, std::int64_t vocab, bool packed)
      : T_(T), vocab_(vocab), packed_(packed) {}
  Batch rows(std::int64_t first, std::int64_t count) const override;
  std::int64_t vocab_size() const override { return vocab_; }
  std::int64_t row_tokens() const override { return T_; }
  std::string describe() const override { return "random rows"; }
  std::uint64_t digest() const override { return 0; }

 private:
  std::int64_t T_, vocab_;
  bool packed_;
};

/// Six layers of spans that are short, long and in blocks; T = 50 divides by nothing that matters.
/// Clipping is off, so that adam_m after one step is (1 - beta1) times the gradient.
RunConfig mesh_config(std::int64_t heads = 8, std::int64_t rows = 8);

struct MeshResult {
  std::vector<double> losses, grad_norms;  // of each step
  std::map<std::string, Tensor> state;     // whole tensors, by the names of a checkpoint
  std::vector<Traffic> traffic;            // of each rank's cp axis in turn
};

/// Trains for `steps` on config.parallel's mesh.
MeshResult run_on_mesh(const RunConfig& config, bool packed, std::int64_t steps,
                       const ThreadRankOptions& options = {.timeout_seconds = 60});

}  // namespace mixspan::test
